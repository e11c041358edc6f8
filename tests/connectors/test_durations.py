"""Lengths of time as options have them."""

import pytest

from cluster.connectors.durations import check_duration, duration_s
from cluster.errors import InvalidRoute


@pytest.mark.parametrize(
    ("written", "expected"), [("250ms", 0.25), ("10s", 10), ("1.5m", 90), ("2 h", 7200), (" 1d ", 86400)]
)
def test_a_number_and_a_unit(written: str, expected: float) -> None:
    """In seconds."""
    assert expected == duration_s(written, "timeout")


@pytest.mark.parametrize("written", ["", "10", "s", "-1s", "1e3s", "10 parsecs", "1s2"])
def test_anything_else(written: str) -> None:
    """Is named, with what to write instead."""
    with pytest.raises(InvalidRoute, match=r"timeout is .*write a number and a unit"):
        duration_s(written, "timeout")


def test_bounds() -> None:
    """A secret that is not there yet is within them."""
    check_duration("${T}", "timeout", least_s=1, most_s=2)
    check_duration("1500ms", "timeout", least_s=1, most_s=2)
    with pytest.raises(InvalidRoute, match=r"timeout is '3s'; it must be from 1 s to 2 s"):
        check_duration("3s", "timeout", least_s=1, most_s=2)
