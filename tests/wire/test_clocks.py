"""What time it is by the clocks of a majority."""

import pytest

from cluster.types import NodeId
from cluster.wire.clocks import Clocks

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
    assert come * S == clocks.come_ns([NodeId(node) for node in range(2, len(others) + 2)])


def test_what_was_told_goes_on_as_the_own_monotonic_clock_does() -> None:
    """However the own wall clock is set meanwhile; and whoever is no peer any more has no say."""
    hand = Hand()
    clocks = Clocks(hand)
    clocks.tell(NodeId(2), 995 * S)
    hand.s, hand.wall = 110.5, 9_000
    assert 995 * S + int(10.5 * S) == clocks.come_ns([NodeId(2)])
    assert 9_000 * S == clocks.come_ns([])
