"""From where a reader wants to begin or stop to an offset, decided at the partition's leader."""

from cluster.broker.replica import Replica
from cluster.errors import InvalidRequest, OffsetOutOfRange
from cluster.types import Offset
from cluster.wire.api import stream_pb2


def begin_offset(replica: Replica, position: stream_pb2.Position | None, end: Offset) -> Offset:
    """Where to begin; `end` is the committed end that a read barrier just confirmed."""
    start = replica.log.start_offset
    kind = position.WhichOneof("at") if position is not None else "earliest"
    match kind:
        case None | "earliest":
            return start
        case "latest":
            return end
        case "offset":
            assert position is not None
            if not start <= position.offset <= end:
                raise OffsetOutOfRange(
                    f"offset {position.offset} is not between the first, {start}, and the end, {end}",
                    first=str(start),
                    end=str(end),
                )
            return Offset(position.offset)
        case _:
            assert position is not None
            return _by_time(replica, position, end)


def stop_offset(replica: Replica, position: stream_pb2.Position | None, end: Offset) -> Offset | None:
    """Where to stop (the first offset not wanted); None: never."""
    kind = position.WhichOneof("at") if position is not None else None
    match kind:
        case None:
            return None
        case "latest":
            return end
        case "offset":
            assert position is not None
            if position.offset < 0:
                raise InvalidRequest("a read cannot stop below offset 0")
            return Offset(position.offset)
        case "earliest":
            return replica.log.start_offset
        case _:
            assert position is not None
            return _by_time(replica, position, end)


def offset_at(replica: Replica, position: stream_pb2.Position, end: Offset) -> Offset:
    """The offset that a position names now."""
    if position.WhichOneof("at") == "offset":
        return Offset(min(max(position.offset, replica.log.start_offset), end))
    return begin_offset(replica, position, end)


def _by_time(replica: Replica, position: stream_pb2.Position, end: Offset) -> Offset:
    by_append = position.HasField("append_time_ns")
    found = replica.log.offset_of_time(
        position.append_time_ns if by_append else position.timestamp_ns,
        append_time=by_append,
        last=replica.raft.commit,
    )
    return end if found is None else found
