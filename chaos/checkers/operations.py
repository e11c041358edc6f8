"""Sends and reads, each put together from its events. A send without a second event is of unknown outcome."""

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.history import Event, Kind

Record = tuple[int, str | None, str]
"""Offset, key, value. From a file they are lists; nobody looks."""


@dataclass(slots=True)
class Send:
    """What somebody sent, and what was heard of it. Times in seconds, of the history's clock."""

    partition: int
    key: str | None
    value: str
    process: str
    invoked_s: float
    tombstone: bool = False
    kind: Kind = Kind.INFO
    offset: int | None = None
    expected_end: int | None = None
    ended_s: float = float("inf")
    synced: int | None = None
    """Replicas that had it on disk, as its receipt says."""
    operation: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """What somebody read of a partition. `start`, `first` and `end` are None where the history does not say them."""

    process: str
    partition: int
    records: list[Record]
    start: int | None
    first: int | None
    ended_s: float
    operation: int = 0
    end: int | None = None


def sends_and_reads(events: Iterable[Event]) -> tuple[list[Send], list[Read]]:
    """In the order in which sends began, and reads ended."""
    sends: dict[int, Send] = {}
    starts: dict[int, int | None] = {}
    reads = []
    for event in events:
        value = event.value
        if event.name == "send" and event.kind is Kind.INVOKE:
            sends[event.operation] = Send(
                value["partition"],
                value["key"],
                value["value"],
                event.process,
                event.time_s,
                tombstone=value.get("tombstone", False),
                expected_end=value.get("expected_end"),
                operation=event.operation,
            )
        elif event.name == "send":
            send = sends[event.operation]
            send.kind, send.ended_s = event.kind, event.time_s
            send.offset, send.synced = value.get("offset"), value.get("synced")
        elif event.name == "read" and event.kind is Kind.INVOKE:
            starts[event.operation] = value.get("start")
        elif event.name == "read" and event.kind is Kind.OK:
            reads.append(
                Read(
                    event.process,
                    value["partition"],
                    value["records"],
                    starts.get(event.operation),
                    value.get("first"),
                    event.time_s,
                    operation=event.operation,
                    end=value.get("end"),
                )
            )
    return list(sends.values()), reads
