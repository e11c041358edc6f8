"""What the state of groups can be told: typed values, encoded by their tag. Pure.

Decoding checks every field. Limits are constants, not options: every replica must answer a command alike.
"""

import msgspec

from cluster.errors import RefusedToStart
from cluster.types import Offset, PartitionId, TopicId


class Join(msgspec.Struct, frozen=True, tag="join"):
    """A member comes, or comes back: the session says who it is. `topics`: how many partitions each has."""

    group: str
    session: bytes
    client: str
    topics: dict[TopicId, int]


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """A member goes, with everything that it holds."""

    group: str
    member: int


class LeaveSession(msgspec.Struct, frozen=True, tag="leave_session"):
    """The member of this session goes, if it is there still: said again by who was not answered."""

    group: str
    session: bytes


class Release(msgspec.Struct, frozen=True, tag="release"):
    """A member works on these no more; of (partition, generation). As ReleaseAll; only logs of before have it."""

    group: str
    member: int
    held: list[tuple[PartitionId, int]]


class ReleaseAll(msgspec.Struct, frozen=True, tag="release_all"):
    """Members work on these no more: by member, of (partition, generation)."""

    group: str
    released: list[tuple[int, list[tuple[PartitionId, int]]]]


class Commit(msgspec.Struct, frozen=True, tag="commit"):
    """A member has processed everything before these positions; of (partition, generation, position). All or none."""

    group: str
    member: int
    positions: list[tuple[PartitionId, int, Offset]]


class Reset(msgspec.Struct, frozen=True, tag="reset"):
    """Positions of a group that has no members."""

    group: str
    positions: list[tuple[PartitionId, Offset]]


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Forget a group that has no members."""

    group: str


class ForgetTopic(msgspec.Struct, frozen=True, tag="forget_topic"):
    """A topic is gone for good, from all groups."""

    topic: TopicId


Command = Join | Leave | LeaveSession | Release | ReleaseAll | Commit | Reset | Delete | ForgetTopic


class Answer(msgspec.Struct, frozen=True):
    """What became of a command: `reason` empty if it was done, else an error's."""

    reason: str = ""
    message: str = ""
    member: int = 0


_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def encode(command: Command) -> bytes:
    """For the log."""
    return bytes(msgspec.msgpack.encode(command))


def decode(data: bytes) -> Command:
    """The inverse. What is in a log was encoded by `encode`; RefusedToStart: by that of another version of riverrun."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedToStart(
            f"a command for groups was written by another version of riverrun, and is not known here: {error}"
        ) from error
