"""Where a new task begins, as its author wrote it: "earliest", "latest", a time, or "-24h". Pure."""

import datetime as dt

from cluster.errors import InvalidApp
from cluster.processing.durations import duration_ns
from cluster.wire.api import stream_pb2

NS_PER_US = 1_000


def start_position(written: str, now_ns: int) -> stream_pb2.Position:
    """For GetOffsets: times are event times, so what begins there has all that is not older. InvalidApp: it is none."""
    match written:
        case "earliest":
            return stream_pb2.Position(earliest=True)
        case "latest":
            return stream_pb2.Position(latest=True)
    return stream_pb2.Position(timestamp_ns=time_ns(written, now_ns))


def time_ns(written: str, now_ns: int) -> int:
    """A time as ISO 8601 (without an offset: UTC), or so long before now."""
    if written.startswith("-"):
        return now_ns - duration_ns(written[1:], "start")
    if written == "now":
        return now_ns
    try:
        time = dt.datetime.fromisoformat(written)
    except ValueError:
        raise InvalidApp(f'{written!r} is no time; write "2026-11-27T10:00:00Z", or "-24h" for a day ago') from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=dt.UTC)
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * NS_PER_US
