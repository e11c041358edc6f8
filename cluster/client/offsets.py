"""Asking partitions for their first offset, their end, and the offset of a place; and ranges to read from these."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.client.calls import Calls
from cluster.client.positions import Place, Places, place_of, position_of
from cluster.errors import OffsetOutOfRange, UnknownTopic
from cluster.types import Offset
from cluster.wire import api
from cluster.wire.api import stream_pb2

GET_OFFSETS = "/riverrun.v1.StreamService/GetOffsets"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionOffsets:
    """One partition as of a moment within the request: first record, end (next to be written), and the asked place.

    `at_append_time_ns`: when the record at `at` was appended, in nanoseconds since 1970; None if `at` is the end.
    """

    partition: int
    first: Offset
    end: Offset
    at: Offset | None = None
    at_append_time_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What to read of one partition: from `begin` up to, not including, `stop` (None: for ever)."""

    begin: Offset
    stop: Offset | None
    end: Offset


async def get_offsets(
    calls: Calls,
    topic: str,
    partitions: Iterable[int],
    *,
    at: Place | None = None,
    timeout_s: float | None = None,
) -> dict[int, PartitionOffsets]:
    """By partition; each follows a read barrier at the partition's leader."""
    request = stream_pb2.GetOffsetsRequest(topic=topic, partitions=partitions)
    if at is not None:
        request.at.CopyFrom(position_of(at))
    answer = await calls.call(
        GET_OFFSETS, request.SerializeToString(), timeout_s=timeout_s, repeatable=True, doubt=UnknownTopic
    )
    return {
        item.partition: PartitionOffsets(
            partition=item.partition,
            first=Offset(item.first),
            end=Offset(item.end),
            at=Offset(item.at) if item.HasField("at") else None,
            at_append_time_ns=item.at_append_time_ns if item.HasField("at_append_time_ns") else None,
        )
        for item in api.parse(stream_pb2.GetOffsetsResponse, answer).partitions
    }


async def resolve(
    calls: Calls, topic: str, partitions: Sequence[int], start: Places, until: Places | None
) -> dict[int, Range]:
    """Places become offsets once, at the beginning, so that a read which is resumed still stops where it was to stop.

    OffsetOutOfRange: an offset to begin at that is not there.
    """
    starts = {number: place_of(start, number) for number in partitions}
    stops = {number: place_of(until, number) for number in partitions} if until is not None else {}
    for place in [*starts.values(), *stops.values()]:
        position_of(place)  # refuse what is no place before asking anybody
    begins, ends = await asyncio.gather(_places(calls, topic, starts), _places(calls, topic, stops))
    ranges = {}
    for number in partitions:
        known = begins[number]
        begin = _offset_of(starts[number], known)
        if not known.first <= begin <= known.end:
            raise OffsetOutOfRange(
                f"offset {begin} of partition {number} is not between the first, {known.first}, and the end, "
                f"{known.end}",
                first=str(known.first),
                end=str(known.end),
            )
        stop = _offset_of(stops[number], ends[number]) if number in stops else None
        ranges[number] = Range(begin=begin, stop=stop, end=known.end)
    return ranges


async def _places(calls: Calls, topic: str, places: Mapping[int, Place]) -> dict[int, PartitionOffsets]:
    """One request for each different time; one for all that need none."""
    groups: dict[Place | None, list[int]] = {}
    for number, place in places.items():
        needs_asking = not isinstance(place, str | int)
        groups.setdefault(place if needs_asking else None, []).append(number)
    answers = await asyncio.gather(*(get_offsets(calls, topic, group, at=at) for at, group in groups.items()))
    return {number: offsets for answer in answers for number, offsets in answer.items()}


def _offset_of(place: Place, known: PartitionOffsets) -> Offset:
    match place:
        case "earliest":
            return known.first
        case "latest":
            return known.end
        case int():
            return Offset(place)
        case _:
            return known.end if known.at is None else known.at
