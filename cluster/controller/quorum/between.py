"""What nodes say to each other about the quorum, beside the messages of its configurations: typed, encoded by a tag.

They travel under the configuration number 0. A message that is lost is asked for again; nothing here is a promise.
"""

from typing import Any

import msgspec

from cluster.errors import InvalidRequest
from cluster.metadata import QuorumConfiguration, Seat
from cluster.types import NodeId


class Here(msgspec.Struct, frozen=True, tag="here"):
    """The newest configuration that the sender has heard of; `formed`: a majority of it has agreed on something."""

    number: int
    seats: list[tuple[int, bytes]]
    formed: bool

    def configuration(self) -> QuorumConfiguration:
        """As a value."""
        seats = tuple(Seat(node=NodeId(node), directory=directory) for node, directory in self.seats)
        return QuorumConfiguration(number=self.number, seats=seats)


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """To a member: tell me what is applied behind so many commands."""

    applied: int


class News(msgspec.Struct, frozen=True, tag="news"):
    """Commands as applied, numbered from `first` on; none: this member is there. `leader`: 0 if it knows none."""

    first: int
    commands: list[bytes]
    leader: int


class Fetch(msgspec.Struct, frozen=True, tag="fetch"):
    """I have a seat in this configuration and lack the state that it begins with."""

    number: int
    directory: bytes


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """Of a state: what configuration `number` begins with, or, where that is 0, what there is now."""

    number: int
    place: int
    count: int
    content: bytes


class TurnedAway(msgspec.Struct, frozen=True, tag="turned_away"):
    """Answers a Fetch: the seat is another directory's, so that who asks must not run."""

    detail: str


class Pass(msgspec.Struct, frozen=True, tag="pass"):
    """To a member: propose this."""

    id: int
    command: bytes


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """What became of it: `reason` is empty, or an error's."""

    id: int
    result: bytes = b""
    reason: str = ""
    message: str = ""


Between = Here | Follow | News | Fetch | Piece | TurnedAway | Pass | Outcome
_decoder: Any = msgspec.msgpack.Decoder(Between)


def encode(message: Between) -> bytes:
    """As it travels."""
    return bytes(msgspec.msgpack.encode(message))


def decode(body: bytes) -> Between:
    """The inverse; InvalidRequest if it is none of these."""
    try:
        message: Between = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"a message about the quorum that cannot be read: {error}") from error
    return message


def here(configuration: QuorumConfiguration, *, formed: bool) -> Here:
    """To tell of it."""
    return Here(
        number=configuration.number,
        seats=[(seat.node, seat.directory) for seat in configuration.seats],
        formed=formed,
    )
