"""The checkers of what is looked at in the end: copies on disks, lives of a topic, a group's last member."""

from typing import Any

import pytest

from chaos.checkers.copies import check_copies
from chaos.checkers.deletions import check_deletions
from chaos.checkers.groups import check_group
from chaos.checkers.lives import check_lives
from chaos.history import History, Kind

COPIES = [[1, "held"], [2, "held"], [3, "compacted"]]


def _verified(**changes: Any) -> History:
    history = History()
    value = {"partition": 0, "offset": 7, "safe": True, "verdict": "as it is", "copies": COPIES} | changes
    history.end(1, "final", Kind.OK, "verify", 9.0, **value)
    return history


def test_copies_that_are_all_there_pass() -> None:
    """On disk, or superfluous; deleted only where limits delete, and by as many as decide that."""
    trimmed = _verified(copies=[[1, "held"], [2, "trimmed"], [3, "trimmed"]], safe=False)

    assert [] == check_copies(_verified().events)
    assert [] == check_copies(trimmed.events, retention=True)
    assert ["unsafe copy"] == [anomaly.name for anomaly in check_copies(trimmed.events)]
    alone = _verified(copies=[[1, "held"], [2, "held"], [3, "trimmed"]])
    assert ["unsafe copy"] == [anomaly.name for anomaly in check_copies(alone.events, retention=True)]


def test_a_copy_that_is_missing_or_another_is_found() -> None:
    """Though a majority has it; or all have something."""
    absent = check_copies(_verified(copies=[[1, "held"], [2, "held"], [3, "absent"]]).events)
    differ = check_copies(_verified(safe=False).events)

    assert ["unsafe copy", "unsafe copy"] == [anomaly.name for anomaly in absent + differ]
    assert "0@7" in absent[0].detail


def test_a_topic_that_inherits_is_found() -> None:
    """What was written in an earlier life, or that nothing is there of this one."""
    history = History()
    for mark, values in (("1.", ["1.0", "1.1"]), ("2.", ["2.0", "1.1"]), ("3.", [])):
        history.end(1, "remaker", Kind.OK, "life", 1.0, topic="again", mark=mark, values=values)

    assert ["inherited", "lost write"] == [anomaly.name for anomaly in check_lives(history.events)]
    assert [] == check_lives(history.events[:1])


@pytest.mark.parametrize(
    ("values", "lost"),
    [(["2.3", "2.4"], []), (["2.0", "2.1", "2.2", "2.3", "2.4"], []), (["2.4"], ["2.3"]), ([], ["2.3", "2.4"])],
)
def test_of_each_key_the_last_record_of_a_life_is_there(values: list[str], lost: list[str]) -> None:
    """All others may be compacted; each of them was acknowledged before it was read."""
    history = History()
    history.end(1, "remaker", Kind.OK, "life", 1.0, topic="again", mark="2.", values=values, newest=["2.3", "2.4"])
    found = check_lives(history.events)
    assert (["lost write"] if lost else []) == [anomaly.name for anomaly in found]
    assert not found or found[0].detail == f"again, made anew as '2.', lacks {lost}"


def test_a_deletion_that_leaves_something_is_found() -> None:
    """Whoever deleted was told what is left."""
    history = History()
    number = history.invoke("d", "delete", 1.0, partition=0, before=5)
    history.end(number, "d", Kind.OK, "delete", 2.0, partition=0, before=5, left=4)
    found = check_deletions(history.events, {0: 5}, final="final", retention=False, compacted=False)

    assert [("not deleted", "0: deleted before 5, and told that 4 is left")] == [(a.name, a.detail) for a in found]


def test_a_group_that_is_stuck_is_found() -> None:
    """Its last member had time enough."""
    history = History()
    history.end(0, "final", Kind.OK, "end", 9.0, partition=2, first=0, end=0)
    assert [] == check_group(history.events)
    history.end(0, "final", Kind.INFO, "stuck", 9.0, partition=2, end=40)

    assert ["stuck"] == [anomaly.name for anomaly in check_group(history.events)]
