# ruff: noqa: ARG002, ASYNC110  what they are told is all that they look at
"""A source and a sink in memory, whose every step is told, and the stages that they are in."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from cluster.connectors.contract import Arrived, Delivery, Guarantee, Position, Progress, SinkOptions
from cluster.errors import ExpressionFailed
from cluster.processing.app import App
from cluster.processing.commit import TaskCommit
from cluster.processing.draft import Part
from cluster.processing.event import Event
from cluster.processing.outside.background import Background
from cluster.processing.outside.capture import Capture
from cluster.processing.outside.definitions import SinkStage, SourceStage
from cluster.processing.outside.delivery import DeliveryRunner
from cluster.processing.outside.inflow import Inflow
from cluster.processing.policies import OnError, skip, stop
from cluster.processing.topics import Topic
from cluster.processing.transform import Made, Rows, Transform
from cluster.processing.work import Batch, Effects, Work
from cluster.records import Record
from cluster.wire.records import encode_records

LOOKS_MAX = 10_000


class ToldSource:
    """See Source: it gives what it is told to, from the cursor on, which counts what was given."""

    def __init__(self) -> None:
        self.steps: list[Arrived | Exception] = []
        self.cursors: list[bytes | None] = []
        self.confirmed: list[bytes] = []
        self.closed = 0

    async def read(self, cursor: bytes | None) -> Arrived:
        """The next step; without one it waits."""
        self.cursors.append(cursor)
        while not self.steps:
            await asyncio.sleep(0.001)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def committed(self, cursor: bytes) -> None:
        """Remembered."""
        self.confirmed.append(cursor)

    async def close(self) -> None:
        """Counted."""
        self.closed += 1

    def progress(self) -> Progress | None:
        """None."""
        return None


class ToldSourceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """See SourceOptions."""

    source: ToldSource
    unique_s: float = 0.0
    summary = "told"
    guarantee = Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """It is fine."""

    def shares(self) -> Sequence[str]:
        """One."""
        return ("",)

    def open(self, share: str, identity: str) -> ToldSource:
        """The same one each time."""
        return self.source


class ToldSink:
    """See Sink: `answer` is what a write comes to."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.batches: list[tuple[list[object], Position]] = []
        self.answer: Callable[[Sequence[Delivery], Position], bool] = lambda _, __: True
        self.settled = 0

    async def last_position(self, lane: str) -> int | None:
        """As it was told."""
        return self.positions.get(lane)

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """What comes is kept, unless `answer` raises."""
        answer = self.answer(batch, position)
        self.batches.append(([delivery.value for delivery in batch], position))
        return answer

    async def settle(self) -> None:
        """Counted."""
        self.settled += 1

    async def close(self) -> None:
        """Nothing is held."""


class ToldSinkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """See SinkOptions."""

    sink: ToldSink
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    hold_s: float = 0.0
    batch_records_max: int = 100
    summary = "told"

    def check(self) -> None:
        """It is fine."""

    def open(self, identity: str) -> ToldSink:
        """The same one each time."""
        return self.sink


def until(happened: Callable[[], bool]) -> None:
    """Wait for what the connectors' thread does."""
    for _ in range(LOOKS_MAX):
        if happened():
            return
        time.sleep(0.001)
    raise AssertionError("it does not happen")


class Numbers:
    """See Transform: numbers go on, at anything else its expression fails."""

    lookups: Mapping[str, str] = {}
    changes = True

    def made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        """Numbers as they came."""
        columns = part.columns
        for place in range(first, end):
            if not columns.values[place].isdigit():
                raise ExpressionFailed("it is no number", place=place - first)
        return [[Made(n, columns.values[n], columns.keys[n], columns.times_ns[n]) for n in range(first, end)]]


def capture(
    source: ToldSource,
    background: Background,
    state: dict[tuple[str, bytes], bytes],
    *,
    unique_s: float = 0.0,
    on_error: OnError | None = None,
    looks: bool = False,
    transform: Transform | None = None,
) -> tuple[Capture, list[int]]:
    """A runner, and how often it had something to say.

    `looks`: into values, as that of a route with expressions. What `transform` fails at is passed over.
    """
    options = ToldSourceOptions(source=source, unique_s=unique_s)
    if transform is not None:
        on_error = skip()
    defined = SourceStage(
        "told", "in", options, outputs=(Topic("out"),), on_error=on_error or stop(), version=1, transform=transform
    )
    stage = replace(defined.stages[0], raw=defined.stages[0].raw and not looks)
    said: list[int] = []
    inflow = partial(Inflow, source, background=background, on_change=lambda: said.append(1), what="in")
    runner = Capture(
        stage,
        lambda places: [state.get(place) for place in places],
        task=0,
        tasks=1,
        partitions=1,
        open_inflow=inflow,
    )
    return runner, said


class Numbered(Numbers):
    """As that, and what is no number is filtered out."""

    def made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        """Numbers as they came."""
        columns = part.columns
        places = [place for place in range(first, end) if columns.values[place].isdigit()]
        return [[Made(place, columns.values[place], columns.keys[place], columns.times_ns[place]) for place in places]]


def delivery(
    options: SinkOptions,
    background: Background,
    on_error: OnError | None = None,
    *,
    event: type[Event] | None = None,
    time: str = "",
    transform: Transform | None = None,
    state: Mapping[tuple[str, bytes], bytes] | None = None,
) -> tuple[DeliveryRunner, list[int]]:
    """A runner, and how often it had something to say."""
    defined = SinkStage(
        "told",
        "out",
        App("told").topic("in", event, time=time),
        options,
        on_error=on_error or stop(),
        version=1,
        start="earliest",
        until="",
        tasks=0,
        transform=transform,
    )
    said: list[int] = []
    runner = DeliveryRunner(
        defined.stages[0],
        lambda places: [(state or {}).get(place) for place in places],
        task=0,
        tasks=1,
        partitions=2,
        sink=options.open("told"),
        identity="told",
        background=background,
        on_change=lambda: said.append(1),
    )
    return runner, said


def keep(state: dict[tuple[str, bytes], bytes], effects: Effects | TaskCommit) -> None:
    """What was changed is committed."""
    for change in effects.state:
        if change.value is None:
            state.pop((change.store, change.key), None)
        else:
            state[change.store, change.key] = change.value


def nothing(n: int = 1, now_ns: int = 1) -> Work:
    """A work without batches."""
    return Work(task=0, n=n, now_ns=now_ns, batches=[], fired=[], idle=[])


def work(n: int, *values: bytes, begin: int = 0, partition: int = 0, key: bytes | None = b"k") -> Work:
    """Records of one partition, from offset `begin` on."""
    payload = encode_records([Record(value=value, key=key, timestamp_ns=1) for value in values])
    batch = Batch(
        input=0,
        partition=partition,
        payload=payload,
        codec=0,
        uncompressed_size=len(payload),
        record_count=len(values),
        base_offset=begin,
        begin=begin,
        end=begin + len(values),
    )
    return Work(task=0, n=n, now_ns=1, batches=[batch], fired=[], idle=[])
