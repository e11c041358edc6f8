"""What an app is, without its code: plain values that a controller can store and a node can act upon. Pure.

One `ProcessorSpec` is one task log with its tasks. Where a function's key is not its source's there are two: one that
re-keys into an internal topic, and the function's own, which reads that.
"""

from enum import StrEnum

import msgspec

from cluster.errors import RefusedToStart


class Kind(StrEnum):
    """How a processor works."""

    FUNCTION = "function"
    WINDOW = "window"
    JOIN = "join"
    REKEY = "rekey"
    SOURCE = "source"
    """It reads what lies outside, and has no inputs."""
    SINK = "sink"
    """It writes what lies outside."""


class InputKind(StrEnum):
    """What records of an input are for."""

    STREAM = "stream"
    TABLE = "table"
    """They update the processor's copy of a table."""
    PARKED = "parked"
    """Dead letters of this processor. Nothing is read from it but in a redrive: then this input alone, from its
    position to the end that it had at the beginning, everything that was shipped to it being in."""


class InputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that is read. Task i owns the partitions p with p mod tasks == i, of every input.

    `key`: the event's field that its records' keys are made of, "" for none. `time`: the field that is the event time,
    "" for the record's own. `start`: "earliest", "latest", a time (ISO 8601) or "-24h". `until`: a time, "" for ever.
    """

    topic: str
    kind: InputKind = InputKind.STREAM
    key: str = ""
    time: str = ""
    disorder_ns: int = 0
    idle_ns: int = 30 * 10**9
    start: str = "earliest"
    until: str = ""
    internal: bool = False
    """A topic of re-keyed records, with the watermarks of those who write it among them."""


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that is written. `key`: the field of what is written that becomes its key; "": the input's key."""

    topic: str
    key: str = ""
    internal: bool = False


class ProcessorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One processor. All inputs must have the same number of partitions.

    `stores`: names of its keyed state. `on_error`: what `policies.describe` says. `tasks` 0: as many as partitions.
    `watermarks`: those who read its outputs want its watermark, so a work with nothing but `idle` has a point.
    `timers`: it may set timers of its own.
    """

    app: str
    name: str
    version: int
    kind: Kind
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    stores: tuple[str, ...] = ()
    on_error: str = "stop"
    tasks: int = 0
    concurrency: int = 1
    watermarks: bool = False
    timers: bool = False
    rekeys: str = ""
    """Of kind REKEY: the field that the new key is made of; "": one key for all."""
    rekeys_for: str = ""
    """Of kind REKEY: the processor that reads what it writes."""
    outside: str = ""
    """Of kinds SOURCE and SINK: what is captured from, or delivered to, for people."""
    guarantee: str = ""
    """Likewise: how often each record."""
    batch_records_max: int = 0
    """Of kind SINK: records in one work; 0: as many as in others."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ProcessorSpec)


def encode_spec(spec: ProcessorSpec) -> bytes:
    """For the controller, who does not look into it."""
    return _encoder.encode(spec)


def decode_spec(data: bytes) -> ProcessorSpec:
    """The inverse. RefusedToStart: another version of riverrun wrote it."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedToStart(f"a processor was described by another version of riverrun: {error}") from error
