"""What time it is by the clocks of a majority."""

import pytest

from cluster.types import NodeId
from cluster.wire.clocks import Clocks, StampClock

S = 1_000_000_000


class Hand:
    """A clock that is set by hand."""

    s, wall = 100.0, 1_000

    def monotonic_s(self) -> float:
        """See Clock."""
        return self.s

    def wall_ns(self) -> int:
        """See Clock."""
        return self.wall * S


@pytest.mark.parametrize(
    ("others", "come"),
    [
        ([], 1_000),
        ([1_005], 1_000),
        ([995], 995),
        ([0], 0),
        ([9_999, 9_999], 9_999),
        ([1_005, 3], 1_000),
        ([995, 3], 995),
        ([995, 0], 995),
        ([0, 0], 0),
        ([1_001, 1_002, 1_003], 1_001),
        ([1_001, 0, 0, 1_003], 1_000),
        ([1_001, 0, 0, 0], 0),
    ],
)
def test_a_time_has_come_when_a_majority_says_so(others: list[int], come: int) -> None:
    """0 of others: they have not said what time it is."""
    clocks = Clocks(Hand())
    for node, wall in enumerate(others, 2):
        clocks.tell(NodeId(node), wall * S)
    assert come * S == clocks.come_ns({NodeId(node): True for node in range(2, len(others) + 2)})


def test_what_was_told_goes_on_as_the_own_monotonic_clock_does() -> None:
    """However the own wall clock is set meanwhile; and whoever is no peer any more has no say."""
    hand = Hand()
    clocks = Clocks(hand)
    clocks.tell(NodeId(2), 995 * S)
    hand.s, hand.wall = 110.5, 9_000
    assert 995 * S + int(10.5 * S) == clocks.come_ns({NodeId(2): True})
    assert 9_000 * S == clocks.come_ns({})


def test_who_is_not_heard_has_no_say() -> None:
    """A clock that was wrong an hour ago, when its node went, and another one that is wrong now, are not a majority."""
    clocks = Clocks(Hand())
    clocks.tell(NodeId(2), 9_000 * S)
    clocks.tell(NodeId(3), 400 * S)
    assert 1_000 * S == clocks.come_ns({NodeId(2): True, NodeId(3): True})
    assert 400 * S == clocks.come_ns({NodeId(2): False, NodeId(3): True})
    assert 0 == clocks.come_ns({NodeId(2): False, NodeId(3): False})


def test_stamps_are_not_behind_most_others() -> None:
    """Nor ahead of the own clock and theirs."""
    hand = Hand()
    stamps = StampClock(hand, lambda: 1_200 * S)
    assert (100.0, 1_200 * S) == (stamps.monotonic_s(), stamps.wall_ns())
    assert 1_000 * S == StampClock(hand, lambda: 0).wall_ns()
