"""Records in a second are those of the last ten, or of fewer where it has not been counted for longer."""

import pytest

from cluster.processing.tasks.rates import Rates


def test_a_steady_rate_is_told_as_it_is() -> None:
    """From its first second on."""
    rates = Rates(100.0)
    for tenth in range(300):
        now_s = 100 + tenth / 10
        rates.add(now_s, 5, 2)
        if tenth >= 10:
            assert pytest.approx((50, 20), rel=0.11) == rates.per_s(now_s)


def test_what_has_ended_is_none_any_more() -> None:
    """After ten seconds; a first moment is not taken for the whole."""
    rates = Rates(0.0)
    rates.add(0.001, 100, 0)
    assert (100.0, 0.0) == rates.per_s(0.002)
    assert (20.0, 0.0) == rates.per_s(5.0)
    assert (0.0, 0.0) == rates.per_s(10.5)
