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
    _give(history, 0, 5.0, process="m2", generation=generation)

    assert ["given again"] == _names(history)


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


def test_a_commit_of_a_fenced_generation_is_caught() -> None:
    """A later generation had committed before it began."""
    history = _good()
    _commit(history, 3, 7.0, process="m2", generation=2)
    _commit(history, 3, 8.0, process="m1", generation=1)

    assert ["not fenced"] == _names(history)
