"""The checker of groups catches each anomaly in a hand-written bad history, and passes good ones."""

import pytest

from chaos.checkers.groups import check_group, redelivered
from chaos.history import History, Kind


def _give(history: History, offset: int, at: float, *, process: str = "m1", generation: int = 1) -> None:
    history.end(0, process, Kind.OK, "give", at, partition=0, generation=generation, offset=offset)


def _commit(
    history: History, position: int, at: float, *, process: str = "m1", generation: int = 1, kind: Kind = Kind.OK
) -> None:
    value = {"partition": 0, "generation": generation, "position": position}
    number = history.invoke(process, "commit", at, **value)
    history.end(number, process, kind, "commit", at + 0.1, **value)


def _end(history: History, first: int, end: int) -> None:
    history.end(0, "final", Kind.OK, "end", 99.0, partition=0, first=first, end=end)


def _names(history: History) -> list[str]:
    return [anomaly.name for anomaly in check_group(history.events)]


def _good() -> History:
    """One member processes two and commits one of them; the next gets the other again, and a third."""
    history = History()
    _give(history, 0, 1.0)
    _commit(history, 1, 2.0)
    _give(history, 1, 3.0)
    _give(history, 1, 5.0, process="m2", generation=2)
    _give(history, 2, 6.0, process="m2", generation=2)
    _end(history, 0, 3)
    return history


def test_a_good_history_passes() -> None:
    """What was not committed may come again, and is counted."""
    assert [] == _names(_good())
    assert 1 == redelivered(_good().events)


def test_a_zombie_is_no_anomaly() -> None:
    """Its generation is lower: it may go on with what it has, but for committing."""
    history = _good()
    _commit(history, 3, 7.0, process="m2", generation=2)
    _give(history, 2, 8.0, process="m1", generation=1)
    _commit(history, 3, 9.0, process="m1", generation=1, kind=Kind.FAIL)

    assert [] == _names(history)


def test_what_was_deleted_need_not_be_given() -> None:
    """But what is there in the end must."""
    history = _good()
    _end(history, 1, 3)
    assert [] == _names(history)
    _end(history, 1, 4)
    assert ["skipped"] == _names(history)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_committed_record_that_comes_again_is_caught(generation: int) -> None:
    """In the same hold or in a later one."""
    history = History()
    _give(history, 0, 1.0)
    _commit(history, 1, 2.0)
    _give(history, 0, 5.0, process="m1" if generation == 1 else "m2", generation=generation)

    assert "given again" in _names(history)
    assert {"given again", "disordered"} >= set(_names(history))


def test_an_unknown_commit_promises_nothing() -> None:
    """Its records may come again."""
    history = History()
    _give(history, 0, 1.0)
    _commit(history, 1, 2.0, kind=Kind.INFO)
    _give(history, 0, 5.0, process="m2", generation=2)

    assert [] == _names(history)


def test_offsets_that_do_not_rise_are_caught() -> None:
    """Within one hold."""
    history = History()
    _give(history, 1, 1.0)
    _give(history, 0, 2.0)

    assert ["disordered"] == _names(history)


def test_a_hold_passes_over_nothing() -> None:
    """Though another member is given it later; but for topics of which something may be deleted, or compacted."""
    history = History()
    for offset, at in ((0, 1.0), (2, 2.0)):
        _give(history, offset, at)
    _give(history, 5, 3.0, process="m2", generation=2)
    for offset, at in ((1, 4.0), (2, 5.0), (3, 6.0), (4, 7.0), (5, 8.0)):
        _give(history, offset, at, process="m3", generation=3)
    (found,) = check_group(history.events)
    assert ("disordered", "m1 got 0@2 after 0") == (found.name, found.detail)
    assert [] == check_group(history.events, deleted=True)
    assert [] == check_group(history.events, compacted=True)


def test_a_commit_of_a_fenced_generation_is_caught() -> None:
    """A later generation had committed before it began."""
    history = _good()
    _commit(history, 3, 7.0, process="m2", generation=2)
    _commit(history, 3, 8.0, process="m1", generation=1)

    assert ["not fenced"] == _names(history)


@pytest.mark.parametrize(("at", "anomalies"), [(11.0, ["not fenced"]), (9.5, []), (10.0, [])])
def test_a_generation_that_was_given_records_fences_those_before_it(at: float, anomalies: list[str]) -> None:
    """Nobody of it needs to have committed anything; but a commit that began before may have been first."""
    history = History()
    for offset in range(3):
        _give(history, offset, 1.0 + offset, generation=5)
    _commit(history, 1, 5.0, generation=5)
    _give(history, 1, 10.0, process="m2", generation=6)
    _commit(history, 1, at, generation=5)
    _give(history, 2, 12.0, process="m2", generation=6)
    _commit(history, 3, 13.0, process="m2", generation=6)
    assert anomalies == _names(history)


def _compacted(*, end_s: float = 99.0) -> History:
    """k0, j1, k2, a tombstone of j at 3, n4 without a key, something unknown at 5: sent at 0 s to 4 s."""
    history = History()
    for offset, key in enumerate(("k", "j", "k", "j", None)):
        value = {"partition": 0, "key": key, "value": f"{key}{offset}", "tombstone": offset == 3}
        number = history.invoke("p", "send", float(offset), **value)
        history.end(number, "p", Kind.OK, "send", offset + 0.5, offset=offset)
    history.end(0, "final", Kind.OK, "end", end_s, partition=0, first=0, end=6)
    return history


def _compacted_names(history: History) -> list[str]:
    found = check_group(history.events, compacted=True, tombstone_s=10.0)
    assert {"skipped"} >= {anomaly.name for anomaly in found}
    return [anomaly.detail for anomaly in found]


def test_what_compaction_removed_may_be_skipped() -> None:
    """Superseded records, old tombstones, offsets of which nothing is known; not what remains, with a key or without.

    Where nothing was compacted nothing may be.
    """
    history = _compacted()
    _give(history, 2, 20.0)
    _give(history, 4, 21.0)
    assert [] == _compacted_names(history)
    assert ["skipped", "disordered"] == _names(history)


@pytest.mark.parametrize(("given", "missing"), [(2, 4), (4, 2)])
def test_what_compaction_keeps_must_be_given(given: int, missing: int) -> None:
    """The newest of its key, and what has no key."""
    history = _compacted()
    _give(history, given, 20.0)
    assert [f"1 of partition 0, the first is {missing}"] == _compacted_names(history)


@pytest.mark.parametrize(
    ("at", "details"),
    [
        (13.0, []),
        (12.9, ["1 of partition 0, the first is 3"]),
        (1.9, ["3 of partition 0, the first is 0"]),
    ],
)
def test_the_first_to_pass_it_was_too_early(at: float, details: list[str]) -> None:
    """A tombstone was too young for it, or the superseding record was not sent yet."""
    history = _compacted()
    _give(history, 2, 20.0)
    _give(history, 4, at, process="m2", generation=2)
    assert details == _compacted_names(history)


def test_a_position_passes_what_lies_before_it() -> None:
    """Whoever committed it had processed everything up to there, or found it gone."""
    history = _compacted()
    _give(history, 2, 3.0)
    _give(history, 4, 50.0)
    assert [] == _compacted_names(history)
    _commit(history, 4, 5.0)
    assert ["1 of partition 0, the first is 3"] == _compacted_names(history)


def test_the_end_passes_everything() -> None:
    """Nothing was given behind the tombstone, and the group was through with it all the same."""
    history = _compacted(end_s=12.0)
    _give(history, 2, 3.0)
    assert ["2 of partition 0, the first is 3"] == _compacted_names(history)
    _give(history, 4, 50.0)
    assert ["1 of partition 0, the first is 3"] == _compacted_names(history)


def _told(history: History, position: int, at: float) -> None:
    number = history.invoke("asker", "position", at, partition=0)
    history.end(number, "asker", Kind.OK, "position", at + 0.1, partition=0, position=position)


@pytest.mark.parametrize(
    ("generation", "at", "position", "anomalies"),
    [
        (1, 3.0, 1, ["position went back"]),
        (2, 3.0, 1, ["position went back"]),
        (1, 3.0, 2, []),
        (1, 2.05, 1, []),
    ],
)
def test_a_position_that_is_committed_lower_is_caught(
    generation: int, at: float, position: int, anomalies: list[str]
) -> None:
    """In the same generation or a later one; what was under way at the same time may end as it likes."""
    history = History()
    _give(history, 0, 0.5)
    _give(history, 1, 1.0)
    _commit(history, 2, 2.0)
    _commit(history, position, at, generation=generation)
    assert anomalies == _names(history)


def test_a_fenced_generation_is_not_told_to_have_gone_back() -> None:
    """It did not know of the later one's position; what is wrong is that it was let in."""
    history = _good()
    _commit(history, 3, 7.0, process="m2", generation=2)
    _commit(history, 2, 8.0, process="m1", generation=1)
    assert ["not fenced"] == _names(history)


@pytest.mark.parametrize(("position", "at", "anomalies"), [(1, 3.0, []), (2, 3.0, []), (0, 2.05, [])])
def test_who_asks_for_a_position_is_told_at_least_what_was_acknowledged(
    position: int, at: float, anomalies: list[str]
) -> None:
    """More may have been committed since, by somebody who was not told."""
    history = _good()
    _told(history, position, at)
    assert anomalies == _names(history)


def test_a_position_that_was_told_lower_is_caught() -> None:
    """Whatever generation the asker is of: it has none."""
    history = _good()
    _told(history, 0, 3.0)
    assert ["position went back"] == _names(history)
    assert (1, 2) == check_group(history.events)[0].operations


def test_a_position_that_passes_what_was_not_given_is_caught() -> None:
    """Somebody was given it later: had the committer been the last one, it would have been skipped."""
    history = History()
    _give(history, 0, 1.0)
    _commit(history, 2, 2.0)
    _give(history, 1, 3.0, process="zombie", generation=0)
    _end(history, 0, 2)
    assert ["committed ungiven"] == _names(history)


@pytest.mark.parametrize(
    ("generation", "first", "anomalies"), [(0, 2, []), (0, 1, ["committed ungiven"]), (1, 2, ["committed ungiven"])]
)
def test_a_deleted_record_may_be_passed_and_be_given_later_by_a_zombie(
    generation: int, first: int, anomalies: list[str]
) -> None:
    """It has it from before (sparse seed 604032). Who holds the partition since then would not get it."""
    history = History()
    _give(history, 0, 1.0, generation=0)
    _give(history, 2, 2.0, process="m2", generation=1)
    _commit(history, 3, 3.0, process="m2", generation=1)
    _give(history, 1, 4.0, generation=generation)
    _end(history, first, 3)
    found = [anomaly.name for anomaly in check_group(history.events, deleted=True)]
    assert anomalies == [name for name in found if name == "committed ungiven"]
    assert "committed ungiven" in _names(history)


def test_a_compacted_record_may_be_passed_and_be_given_later() -> None:
    """One replica had removed it, another not yet; what must not be removed must not be passed."""
    history = _compacted()
    for offset, at in ((2, 6.0), (3, 6.5), (4, 7.0)):
        _give(history, offset, at)
    _commit(history, 5, 8.0)
    _give(history, 0, 9.0, process="zombie", generation=0)
    assert [] == _compacted_names(history)

    history = _compacted()
    for offset, at in ((3, 6.0), (4, 7.0)):
        _give(history, offset, at)
    _commit(history, 5, 8.0)
    _give(history, 2, 9.0, process="zombie", generation=0)
    found = [a.name for a in check_group(history.events, compacted=True, tombstone_s=10.0)]
    assert ["committed ungiven"] == found


def test_two_owners_in_one_generation_are_caught() -> None:
    """A partition moves with a new one."""
    history = History()
    _give(history, 0, 1.0, process="m1", generation=1)
    _give(history, 0, 2.0, process="m2", generation=2)
    assert [] == _names(history)
    _give(history, 1, 2.0, process="m1", generation=2)
    assert ["two owners"] == _names(history)
