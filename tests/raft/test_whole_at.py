"""How far a log has to reach to be whole again is in its mark: after a restart nobody has to be told so by a leader."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.messages import AppendEntries, InstallFold
from cluster.raft import Raft
from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, Term
from tests.raft.regressions.test_found_by_seeds import append
from tests.raft.test_uncounted import anew, leads, member, settle

TORN: tuple[dict[str, Any], ...] = (
    {"doubts": [(Index(12), Term(2))]},
    {"doubts": [(Index(12), Term(2))], "doubts_to": (UNCOUNTED, Term(2))},
    {"owes": (UNCOUNTED, Term(2))},
)
OWED = (Index(4), Term(1)), (UNCOUNTED_ANEW, Term(1))


def the_three(torn: dict[str, Any], owes: tuple[Index, Term] | None, *, whole_at: int | None) -> list[Raft]:
    """Power failed everywhere: entry 12 is on the disk of the third alone, whose mark was not gone yet."""
    return [
        member(1, 2, last=(11, 2)),
        member(2, 2, last=(11, 2), **torn),
        member(3, 2, last=(12, 2), owes=owes, whole_at=None if whole_at is None else Index(whole_at)),
    ]


@pytest.mark.parametrize("torn", TORN, ids=["counted", "uncounted", "replaced"])
@pytest.mark.parametrize("owes", OWED, ids=["anew", "uncounted anew"])
def test_the_newest_log_of_a_group_leads_though_its_mark_is_still_there(
    torn: dict[str, Any], owes: tuple[Index, Term] | None
) -> None:
    """Nobody but that one could: the others have to suppose that what they lost was on a majority."""
    assert leads(*the_three(torn, owes, whole_at=11))


@pytest.mark.parametrize("owes", OWED, ids=["anew", "uncounted anew"])
@pytest.mark.parametrize("whole_at", [13, None])
def test_nobody_leads_who_may_lack_something(owes: tuple[Index, Term] | None, whole_at: int | None) -> None:
    """Its log does not reach so far, or nobody knows how far it has to."""
    assert not leads(*the_three(TORN[0], owes, whole_at=whole_at))


def a_beginning(*, commit: int, last_index: int) -> InstallFold:
    """Of replica 1, to begin anew behind floor 4."""
    return replace(anew(term=5, floor=4, last_index=last_index), commit=Index(commit))


def part(first: int, last: int, *, commit: int, last_index: int = 20, beginning: int = 1) -> AppendEntries:
    """Entries of term 5, of that beginning."""
    prev = (first - 1, 5 if first > 1 else 0)
    message = append(1, 5, prev, *((index, 5) for index in range(first, last + 1)))
    return replace(message, commit=Index(commit), last_index=Index(last_index), beginning=beginning)


def test_who_begins_anew_has_to_reach_what_its_leader_knew_to_be_committed() -> None:
    """As of when it sent what lies below, but nothing behind what it had when the beginning began."""
    core = member(3, 4, last=(3, 4))
    core.step(a_beginning(commit=6, last_index=9))
    assert (6, (3, 4)) == (core.whole_at, core.owes)
    core.step(part(1, 2, commit=7))
    assert 7 == core.whole_at
    core.step(part(3, 4, commit=15))
    assert 9 == core.whole_at
    core.step(part(5, 8, commit=15))
    settle(core)
    assert core.recovering
    core.step(part(9, 9, commit=15))
    settle(core)
    assert (False, None) == (core.recovering, core.whole_at)


def test_it_has_to_reach_the_floor() -> None:
    """Though less is known to be committed to who sends it."""
    core = member(3, 4, last=(3, 4))
    core.step(a_beginning(commit=2, last_index=9))
    assert 4 == core.whole_at


@pytest.mark.parametrize("torn", TORN, ids=["counted", "uncounted", "replaced"])
@pytest.mark.parametrize("has", [5, 11, 14])
def test_a_log_that_was_damaged_further_down_leads_if_it_is_the_newest(torn: dict[str, Any], has: int) -> None:
    """What its leader had beyond that, in memory alone, is nowhere any more, and nobody has to wait for it.

    If it is not the newest, another leads.
    """
    damaged = member(3, 2, last=(has, 2), owes=(UNCOUNTED, Term(2)))
    assert leads(member(1, 2, last=(11, 2), **torn), member(2, 2, last=(11, 2)), damaged)


def test_what_is_in_doubt_is_owed_as_well() -> None:
    """A log that began anew has to reach as far as before, and to end no earlier than what was in doubt."""
    core = member(3, 4, last=(8, 4), owes=(Index(3), Term(2)), whole_at=Index(6), doubts=[(Index(9), Term(4))])
    core.step(part(9, 9, commit=0, beginning=0))
    assert core.doubts
    core.step(replace(part(9, 9, commit=0, beginning=0), prev_term=Term(4)))
    assert (UNCOUNTED_ANEW, 4) == core.owes
    assert 6 == core.whole_at
