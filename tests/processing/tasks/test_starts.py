"""Where a task begins, as people write it."""

import pytest

from cluster.errors import InvalidApp
from cluster.processing.tasks.starts import start_position, time_ns

NOW_NS = 1_800_000_000_000_000_000
HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("-24h", NOW_NS - 24 * HOUR_NS),
        ("now", NOW_NS),
        ("1970-01-02", 24 * HOUR_NS),
        ("1970-01-01T02:00:00.000001+01:00", HOUR_NS + 1_000),
        ("1970-01-01T01:00:00Z", HOUR_NS),
    ],
)
def test_times(written: str, expected: int) -> None:
    """Without an offset they are in UTC."""
    assert expected == time_ns(written, NOW_NS)
    assert expected == start_position(written, NOW_NS).timestamp_ns


def test_words() -> None:
    """The two ends."""
    assert start_position("earliest", NOW_NS).earliest
    assert start_position("latest", NOW_NS).latest


def test_what_is_none_is_said() -> None:
    """With what to write instead."""
    with pytest.raises(InvalidApp, match="'yesterday' is no time; write"):
        time_ns("yesterday", NOW_NS)
