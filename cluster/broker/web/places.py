"""Where a read begins and stops, as text in URLs. Pure.

    earliest   latest   18   0:18,1:5   2026-01-31T08:00:00Z

`0:18,1:5` is a position in each of several partitions. Positions come back with what was read (`next` of a list, `id`
of an event, and so `Last-Event-ID`), and are the next offset that is wanted: of one partition `18`, of several the map.
A time means the first batch that reaches this event time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.broker.web.queries import NUMBER, NUMBER_MAX
from cluster.broker.web.times import parse_time
from cluster.errors import InvalidRequest
from cluster.wire.api import stream_pb2

MAP = re.compile(r"\d{1,10}:\d{1,19}(?:,\d{1,10}:\d{1,19})*", re.ASCII)
EARLIEST = stream_pb2.Position(earliest=True)
LATEST = stream_pb2.Position(latest=True)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in each partition: `at` for those that `by_partition` does not name."""

    at: stream_pb2.Position
    by_partition: Mapping[int, int]

    def of(self, partition: int) -> stream_pb2.Position:
        """The place in one partition."""
        offset = self.by_partition.get(partition)
        return self.at if offset is None else stream_pb2.Position(offset=offset)


def parse_place(text: str, name: str, otherwise: stream_pb2.Position) -> Place:
    """The place that a text means, `otherwise` where a map names only some partitions; InvalidRequest if it is none."""
    if text == "earliest":
        return Place(EARLIEST, {})
    if text == "latest":
        return Place(LATEST, {})
    if NUMBER.fullmatch(text):
        return Place(stream_pb2.Position(offset=_offset(text, name)), {})
    if MAP.fullmatch(text):
        pairs = (pair.split(":") for pair in text.split(","))
        return Place(otherwise, {int(partition): _offset(offset, name) for partition, offset in pairs})
    if not text[:1].isdigit() or "T" not in text.upper():
        raise InvalidRequest(
            f"{name} {text[:64]!r} is not earliest, latest, an offset, positions such as 0:18,1:5, or a time (RFC 3339)"
        )
    return Place(stream_pb2.Position(timestamp_ns=parse_time(text, name)), {})


def positions_text(positions: Mapping[int, int], partitions: Sequence[int]) -> str:
    """Positions in these partitions as `parse_place` takes them; one that is not there is at the earliest."""
    if len(partitions) == 1 and positions:
        return str(positions[partitions[0]])
    if not positions:
        return "earliest"
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def _offset(text: str, name: str) -> int:
    if int(text) > NUMBER_MAX:
        raise InvalidRequest(f"{name} {text} is beyond every offset")
    return int(text)
