"""What a node and a host of user code say to each other: one msgpack array a frame, its tag first. Pure.

Rules:
1. The host speaks first: `Described`, or `Failed` with seat NO_SEAT when its code does not load, and then it ends.
2. `Open` and `Run` have one answer each (`Opened`, `Done`, `Failed`), in the order in which they were asked: a host
   does one thing at a time. While it does it may ask for state, and then says nothing else until `StateRead` comes.
3. `Shut` and `Committed` have no answer. `Said` is no answer: seats that are `alone` say it when they like, also while
   something else is in hand. `Ended` is what a host says of its own end, if it still can.
4. Frames may get fields at their end; they never move.
"""

import msgspec

from cluster.errors import RefusedToStart, RiverrunError
from cluster.processing.snapshot import Place
from cluster.processing.spec import ProcessorSpec
from cluster.processing.work import Effects, Work
from cluster.wire.status import error_from

PROTOCOL = 1
NO_SEAT = -1
TOO_LARGE = "too_large"
"""In the metadata of what a work failed with: fewer records at once may do."""
TEXT_CHARS_MAX = 16_384
"""Of an error's message, and of each text of its metadata: the end of what is longer."""


class Open(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="open"):
    """A runner for a task is wanted; it is called `seat` from now on."""

    seat: int
    stage: str
    version: int
    task: int
    tasks: int
    partitions: int
    identity: str = ""


class Run(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="run"):
    """A work for a seat; its works up to `committed` are committed."""

    seat: int
    committed: int
    work: Work


class Committed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="committed"):
    """The works of a seat up to `n` are committed, and it wants to know at once."""

    seat: int
    n: int


class StateRead(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="state"):
    """The values that were asked for, in their order; None: they cannot be had, and the work is to be given up."""

    values: list[bytes | None] | None


class Shut(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="shut"):
    """The runner of a seat is not needed any more. `forget`: what it is of was removed, and will not come back."""

    seat: int
    forget: bool = False


class Described(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="described"):
    """What is defined in the code."""

    protocol: int
    specs: list[ProcessorSpec]


class Opened(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="opened"):
    """The runner is there."""

    seat: int


class Done(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="done"):
    """What came of a work."""

    seat: int
    effects: Effects


class Failed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="failed"):
    """What was asked was not done: an error of `cluster.errors`, by its reason."""

    seat: int
    reason: str
    message: str
    metadata: dict[str, str]


class ReadState(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="read"):
    """Committed values are wanted, of the seat whose work is in hand."""

    seat: int
    places: list[Place]


class Said(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="said"):
    """See `hosts.Word`."""

    seat: int
    ready: bool
    trouble: str
    progress: tuple[str, int, int] | None


class Ended(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="ended"):
    """The host ends, and knows why. `cause`: as of HostFailed."""

    cause: str
    why: str


NodeFrame = Open | Run | Committed | StateRead | Shut
HostFrame = Described | Opened | Done | Failed | ReadState | Said | Ended

_encoder = msgspec.msgpack.Encoder()
_node_frame = msgspec.msgpack.Decoder(NodeFrame)
_host_frame = msgspec.msgpack.Decoder(HostFrame)


def encode(frame: NodeFrame | HostFrame) -> bytes:
    """As it travels."""
    return _encoder.encode(frame)


def decode_node_frame(data: bytes) -> NodeFrame:
    """What a node said. RefusedToStart: it is of another version of riverrun."""
    try:
        frame: NodeFrame = _node_frame.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedToStart(f"the node is of another version of riverrun: {error}") from error
    return frame


def decode_host_frame(data: bytes) -> HostFrame:
    """What a host said. RefusedToStart: it is of another version of riverrun, or user code wrote on its connection."""
    try:
        frame: HostFrame = _host_frame.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedToStart(f"what it sent makes no sense: {error}") from error
    return frame


def failed(seat: int, error: RiverrunError) -> Failed:
    """An error as it travels."""
    metadata = {name: text[-TEXT_CHARS_MAX:] for name, text in error.metadata.items()}
    return Failed(seat=seat, reason=error.reason, message=error.message[:TEXT_CHARS_MAX], metadata=metadata)


def error_in(frame: Failed) -> RiverrunError:
    """The inverse."""
    metadata = {name: text for name, text in frame.metadata.items() if name.isidentifier() and name != "message"}
    return error_from(frame.reason, frame.message, metadata)
