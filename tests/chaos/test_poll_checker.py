"""Readers that go back, or pass something by, from one read to their next; and those that may."""

import pytest

from chaos.history import History
from tests.chaos.histories import names, read, send

ALL = tuple(enumerate("abcdef"))


def _sent() -> History:
    history = History()
    for offset, value in ALL:
        send(history, value, offset, at=float(offset))
    return history


def _judged(history: History, *, first: int = 0) -> list[str]:
    read(history, *ALL[first:], first=first, at=99.0)
    return names(history, retention=True)


@pytest.mark.parametrize(
    ("next_read", "start", "anomalies"),
    [
        (ALL[2:4], None, []),
        ((), None, []),
        (ALL[3:], None, ["poll skip"]),
        (ALL[1:3], None, ["nonmonotonic poll"]),
        (ALL[1:3], 1, []),
        (ALL[4:], 4, []),
        (ALL[4:], 3, ["poll skip"]),
        (ALL[4:], 5, ["nonmonotonic poll"]),
    ],
)
def test_a_process_goes_on_where_its_last_read_stopped(
    next_read: tuple[tuple[int, str], ...], start: int | None, anomalies: list[str]
) -> None:
    """Unless it says where it starts: then it starts there."""
    history = _sent()
    read(history, *ALL[:2], process="r", at=10.0)
    read(history, *next_read, process="r", at=11.0, start=start)
    read(history, *ALL, process="another", at=12.0)
    assert anomalies == _judged(history)


def test_a_read_that_got_nothing_changes_nothing() -> None:
    """It is still where it was."""
    history = _sent()
    read(history, *ALL[:2], process="r", at=10.0)
    read(history, process="r", at=11.0)
    read(history, *ALL[2:], process="r", at=12.0)
    assert [] == _judged(history)


@pytest.mark.parametrize(
    ("reads", "anomalies"),
    [
        ([((), 3), (ALL[3:], None)], []),
        ([(ALL[3:], 3)], []),
        ([(ALL[2:], 3)], []),
        ([((), 1), (ALL[2:], None)], []),
        ([((), 3), (ALL[4:], None)], ["poll skip"]),
        ([((), 3), (ALL[2:], None)], ["deleted came back", "nonmonotonic poll"]),
        ([(ALL[3:], None)], ["poll skip"]),
    ],
)
def test_who_was_told_where_the_partition_begins_goes_on_from_there(
    reads: list[tuple[tuple[tuple[int, str], ...], int | None]], anomalies: list[str]
) -> None:
    """Two records read already, then what was deleted; and with each read what it was told about that."""
    history = _sent()
    read(history, *ALL[:2], process="r", at=10.0)
    for at, (records, first) in enumerate(reads):
        read(history, *records, process="r", at=11.0 + at, first=first)
    assert anomalies == _judged(history, first=3)


def test_a_gap_is_told_once() -> None:
    """Whoever comes there meets it."""
    history = History()
    send(history, "a", 0)
    send(history, "b", 2, at=1.0)
    for process in ("r", "q", "final"):
        read(history, (0, "a"), (2, "b"), process=process)
    assert ["offset gap"] == names(history)


def test_a_record_that_one_reader_got_is_no_gap_for_another() -> None:
    """It was passed by, in a read or between two."""
    history = _sent()
    read(history, *ALL, process="q")
    read(history, ALL[0], process="r", at=10.0)
    read(history, ALL[2], ALL[4], process="r", at=11.0)
    assert ["poll skip", "poll skip"] == _judged(history)
