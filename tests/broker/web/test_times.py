"""RFC 3339 to nanoseconds and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.broker.web.times import parse_time, time_text
from cluster.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.000000001z", 1_000_000_001),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00.5-00:30", 500_000_000),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("2262-04-11T23:47:16.854775807Z", (1 << 63) - 1),
    ],
)
def test_times_are_read(text: str, time_ns: int) -> None:
    """With any offset, nine digits of a second, and a leap second as the second after it."""
    assert time_ns == parse_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T08:00:00",
        "2026-01-31 08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T08:00:61Z",
        "2026-01-31T08:00:00.Z",
        "2026-01-31T08:00:00.1234567890Z",
        "2026-01-31T08:00:00+24:00",
        "2026-01-31T08:00:00+01:60",
        "2262-04-11T23:47:16.854775808Z",
        "0001-01-01T00:00:00Z",
        "२०२६-01-31T08:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """With a name for what should have been one."""
    with pytest.raises(InvalidRequest, match="the event's time"):
        parse_time(text, "the event's time")


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1))
def test_every_time_survives_its_text(time_ns: int) -> None:
    """All 64 bits of it."""
    assert time_ns == parse_time(time_text(time_ns))
