"""What crosses the boundary between a task and the user's code: work goes in, effects come out. Pure.

The node that runs a task hands its host one `Work` at a time and makes one commit of the `Effects` that come back. The
host knows no network and no cluster: batches come as they are stored, outputs go without a partition, keyed state is
read through a callback. Both are msgpack arrays, so fields may be added at the end and never move.

Promises of whoever makes a `Work`: of one input partition, batches come in order and without gaps, and `begin` of the
first is the task's committed position; every `Fired` is a timer of the ledger whose time has come (by the committed
watermark, or by `now_ns`), earliest first; `now_ns` and `n` never go back. A timer that fired is gone: it is not
deleted again by effects, but may be set again by them.
"""

from enum import IntEnum

import msgspec

from cluster.errors import RefusedToStart

BY_KEY = -1
"""`Output.partition`: crc32c(key) mod partitions; without a key, any."""
EVERY_PARTITION = -2
"""`Output.partition`: a copy goes to each partition of the destination."""

BEFORE_ALL_TIME_NS = -(2**63)
"""A watermark before anything was seen."""
AFTER_ALL_TIME_NS = 2**63 - 1
"""The watermark of inputs that are at their end for good (`until`): every window closes."""
EVENT_TIME_NS_MIN = -8_520_336_000 * 10**9
"""The year 1700."""
EVENT_TIME_NS_MAX = 7_258_118_400 * 10**9
"""The year 2200. Beyond these an event's time is a mistake, and what is reckoned from it would not fit into 64 bits."""


class TimerClock(IntEnum):
    """Which time a timer waits for."""

    EVENT = 0
    """The task's watermark."""
    PROCESSING = 1
    """`Work.now_ns`."""


class Batch(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Records as they are stored, opaque to the node.

    `input`: the number of the input in the processor's spec. `payload`: an encoded `Records` message, compressed by
    `codec`. Records with an offset below `begin`, or from `end` on, are passed over; `end` is the position behind it.
    """

    input: int
    partition: int
    payload: bytes
    codec: int
    uncompressed_size: int
    record_count: int
    base_offset: int
    begin: int
    end: int


class Fired(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """A timer whose time has come."""

    key: bytes
    name: str
    at_ns: int


class Condemned(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record at which the process with the user's code has died, alone: it is treated like one that made it raise."""

    input: int
    partition: int
    offset: int
    why: str


class Work(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What user code is handed at once, and what one commit will be made of.

    `idle`: the (input, partition) pairs that are idle now: all of those, each time. `in_time_order`: the task is
    catching up, so records of all batches are handled in the order of their event times, else batch by batch.
    `ended`: every input is at its `until`, for good. `condemned`: records that user code is not to see again.
    `records_max`: of a source's, which has no batches: so many records may come of it.
    `redriven`: after it a redrive is over, and of the letters that were there none is left.
    `failures`: so often it has raised at the only record (or, if there is none, at the only timer) of this work.
    """

    task: int
    n: int
    now_ns: int
    batches: list[Batch]
    fired: list[Fired]
    idle: list[tuple[int, int]]
    in_time_order: bool = False
    ended: bool = False
    condemned: list[Condemned] = []
    failures: int = 0
    records_max: int = 10_000
    redriven: bool = False


class StateChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A new value of keyed state; `value` None: deleted."""

    store: str
    key: bytes
    value: bytes | None


class TimerChange(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """One timer per (key, name): set again is moved; `at_ns` None: deleted, if it is there."""

    key: bytes
    name: str
    at_ns: int | None
    clock: TimerClock = TimerClock.EVENT


class Output(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """A record for the destination with number `output` in the processor's spec.

    `partition`: BY_KEY, EVERY_PARTITION, or a partition's number.
    """

    output: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ns: int
    partition: int = BY_KEY


class Failure(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record that was passed over or put aside (`became`: skipped, dead_lettered), in short: at most 500 characters.

    `error`: the type of what was raised, and what it said. The rest is where the record stands, and when that was.
    """

    error: str
    became: str
    topic: str
    partition: int
    offset: int
    at_ns: int


ERROR_CHARS_MAX = 500


class Effects(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What came of a work. At most one change for each (store, key) and each (key, timer); outputs in their order.

    `watermark_ns` never goes back from work to work. `counts`: late, skipped, dead_lettered, parked, … `failure`: the
    last record of this work that was passed over or put aside. `held`: a sink has not yet put at its destination what
    it was given; nothing is committed until a later work says otherwise, and then all of them at once. `ended`: a
    source has nothing more, for good.
    """

    state: list[StateChange]
    timers: list[TimerChange]
    outputs: list[Output]
    watermark_ns: int
    counts: dict[str, int]
    failure: Failure | None = None
    held: bool = False
    ended: bool = False

    @property
    def is_nothing(self) -> bool:
        """Nothing came of the work."""
        return not (self.state or self.timers or self.outputs or any(self.counts.values()))


_encoder = msgspec.msgpack.Encoder()
_work = msgspec.msgpack.Decoder(Work)
_effects = msgspec.msgpack.Decoder(Effects)


def encode(value: Work | Effects) -> bytes:
    """For the socket between node and host."""
    return _encoder.encode(value)


def decode_work(data: bytes) -> Work:
    """The inverse; RefusedToStart: the other side is of another version of riverrun."""
    try:
        return _work.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedToStart(f"work for a processor was written by another version of riverrun: {error}") from error


def decode_effects(data: bytes) -> Effects:
    """The inverse; RefusedToStart: the other side is of another version of riverrun."""
    try:
        return _effects.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedToStart(f"effects of a processor were written by another version of riverrun: {error}") from error
