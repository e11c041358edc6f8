"""Majorities of a set of voters. Joint configurations (two majorities at once) will be arithmetic in this file."""

from collections.abc import Iterable, Sequence

from cluster.types import Index


def majority(voters: int) -> int:
    """How many of so many voters are a majority."""
    return voters // 2 + 1


def index_on_majority(matches: Iterable[Index]) -> Index:
    """The highest index that a majority has, given each voter's (§5.3, §5.4.2)."""
    ordered = sorted(matches, reverse=True)
    return ordered[majority(len(ordered)) - 1]


def has_majority(votes: Sequence[bool], voters: int) -> bool:
    """Whether so many of the voters said yes."""
    return sum(votes) >= majority(voters)
