"""From where to where to read, as people say it. Pure.

A place is one of: "earliest", "latest", an offset (int), a time (`datetime` with a zone, or `AtTime`: the first batch
that reaches this event time), `AtAppendTime` (the same by the leader's clock), or a mapping from partition numbers to
any of these, to continue where an earlier reader stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cluster.errors import InvalidRequest
from cluster.wire.api import stream_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first batch that reaches this event time, in nanoseconds since 1970."""

    timestamp_ns: int


@dataclass(frozen=True, slots=True)
class AtAppendTime:
    """The first batch appended at or after this time, in nanoseconds since 1970."""

    append_time_ns: int


Place = str | int | datetime | AtTime | AtAppendTime
Places = Place | Mapping[int, Place]


def place_of(places: Places, partition: int, *, otherwise: Place = "earliest") -> Place:
    """What `places` says about one partition; `otherwise` for those that a mapping does not name."""
    if isinstance(places, Mapping):
        return places.get(partition, otherwise)
    return places


def position_of(place: Place) -> stream_pb2.Position:
    """The place as a request names it; InvalidRequest if it is none.

    >>> position_of("latest").latest, position_of(17).offset
    (True, 17)
    >>> position_of(datetime(1998, 6, 30, tzinfo=UTC)).timestamp_ns
    899164800000000000
    """
    match place:
        case "earliest":
            return stream_pb2.Position(earliest=True)
        case "latest":
            return stream_pb2.Position(latest=True)
        case bool():
            raise InvalidRequest("True and False are no place to read from")
        case int() if place >= 0:
            return stream_pb2.Position(offset=place)
        case AtTime(timestamp_ns):
            return stream_pb2.Position(timestamp_ns=timestamp_ns)
        case AtAppendTime(append_time_ns):
            return stream_pb2.Position(append_time_ns=append_time_ns)
        case datetime():
            if place.tzinfo is None:
                raise InvalidRequest(f"{place} has no time zone; give it one, for example datetime.UTC")
            since = place - EPOCH
            return stream_pb2.Position(
                timestamp_ns=((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
            )
        case _:
            raise InvalidRequest(
                f'{place!r} is no place to read from or to: give "earliest", "latest", an offset from 0 or a time'
            )
