"""What a limit of age may have deleted: by hand, beside clocks that were wrong."""

import math

import pytest

from chaos.checkers.ages import Wrong, check_ages, clock_errors
from chaos.history import History, Kind
from tests.chaos.histories import read, send

KEPT_S = 30.0


def a_run(*, first: int, read_at: float = 39.5, asked: int = 0) -> History:
    """A record every ten seconds from zero on, and what a read says is there: it ends half a second later."""
    history = History()
    mine = history.scoped("log")
    for place in range(4):
        send(mine, f"v{place}", place, at=place * 10.0)
    if asked:
        mine.invoke("d", "delete", 31.0, partition=0, before=asked)
    read(mine, at=read_at, first=first)
    return history


def delete(history: History, before: int, *, at: float, left: int | None = None) -> None:
    """Somebody asks for it, and is told what is left, or nothing; half a second, too."""
    number = history.invoke("d", "delete", at, partition=0, before=before)
    if left is not None:
        history.end(number, "d", Kind.OK, "delete", at + 0.5, partition=0, before=before, left=left)


def clock(history: History, began_s: float, ended_s: float | None, nodes: list[int], **options: float) -> History:
    """With a fault of clocks."""
    return fault(history, "clock_jump", began_s, ended_s, nodes, **options)


def fault(
    history: History, name: str, began_s: float, ended_s: float | None, nodes: list[int], **options: float
) -> History:
    """With any fault."""
    faults = history.scoped("nemesis")
    number = faults.invoke("nemesis", name, began_s, role="one", nodes=nodes, options=options)
    if ended_s is not None:
        faults.end(number, "nemesis", Kind.OK, name, ended_s)
    return history


def judged(history: History) -> list[str]:
    """What is wrong, in words."""
    found = check_ages(history.events, scope="log", kept_s=KEPT_S)
    assert {anomaly.name for anomaly in found} <= {"deleted too young"}
    return [anomaly.detail for anomaly in found]


def test_what_is_old_may_go() -> None:
    """At 40 s that is the first two, the second one just so."""
    assert [] == judged(a_run(first=0))
    assert [] == judged(a_run(first=1))
    assert [] == judged(a_run(first=2))


def test_what_is_young_may_not() -> None:
    """Nobody's clock was wrong, or only one that was ahead."""
    wanted = ["v2 at 0@2 was gone 20.0 s after it was sent, not 30"]
    assert wanted == judged(a_run(first=3))
    assert wanted == judged(a_run(first=4))
    assert wanted == judged(clock(a_run(first=3), 5.0, 25.0, [2], by_s=600.0))
    assert wanted == judged(clock(clock(a_run(first=3), 5.0, 8.0, [2], by_s=600.0), 9.0, 25.0, [3], by_s=600.0))


def test_what_was_seen_first_counts() -> None:
    """A later read, when it is old, excuses nothing."""
    history = a_run(first=3)
    read(history.scoped("log"), at=80.0, first=4)
    assert 1 == len(judged(history))


def test_what_somebody_deletes_may_go() -> None:
    """Whatever its age, and though no answer came; not what lies above."""
    assert [] == judged(a_run(first=3, asked=3))
    assert 1 == len(judged(a_run(first=4, asked=3)))


def test_what_is_asked_for_later_excuses_nothing() -> None:
    """It was gone before anybody wanted that."""
    history = a_run(first=3)
    delete(history.scoped("log"), 4, at=60.0)
    assert ["v2 at 0@2 was gone 20.0 s after it was sent, not 30"] == judged(history)


def test_what_a_deletion_left_was_seen_too() -> None:
    """It is told where the partition begins; what it asked for itself may be gone."""
    history = a_run(first=0, read_at=0.5)
    delete(history.scoped("log"), 1, at=31.0, left=1)
    assert [] == judged(history)
    delete(history.scoped("log"), 2, at=32.0, left=4)
    read(history.scoped("log"), at=80.0, first=4)
    assert ["v2 at 0@2 was gone 12.5 s after it was sent, not 30"] == judged(history)


def test_a_replica_s_own_copy_begins_where_its_records_are_old() -> None:
    """Though the others have them, and readers get them from there."""
    history = a_run(first=0)
    for node, first, at in ((1, 0, 45.0), (2, 2, 45.0), (3, 3, 45.0), (3, 3, 51.0)):
        copy = {"node": node, "partition": 0, "first": first, "records": []}
        history.scoped("log").end(90 + node, "final", Kind.OK, "copy", at, **copy)
        wanted = ["v2 at 0@2 was gone 25.0 s after it was sent, not 30"] if node == 3 else []
        assert wanted == judged(history)


@pytest.mark.parametrize(
    ("nodes", "ended_s", "options", "behind", "ahead"),
    [
        ([1], 9.0, {"by_s": -60.0}, [(5.0, 10.0, 60.0)], []),
        ([1, 2], 9.0, {"by_s": 60.0}, [], [(5.0, 10.0, 60.0)]),
        ([1, 2, 3], None, {"rate": 2.0}, [], [(5.0, math.inf, 35.0)]),
        ([1], None, {"rate": 2.0}, [], []),
        ([1, 2], 9.0, {"capacity": 1.0}, [], []),
    ],
)
def test_how_wrong_clocks_were(
    nodes: list[int], ended_s: float | None, options: dict[str, float], behind: list[Wrong], ahead: list[Wrong]
) -> None:
    """One that is ahead is outvoted; one that is behind may have stamped what goes."""
    errors = clock_errors(clock(a_run(first=0), 5.0, ended_s, nodes, **options).events)
    assert (behind, ahead) == (errors.behind, errors.ahead)


def test_errors_of_one_clock_add_up() -> None:
    """Those of one node that were there at a time."""
    history = clock(clock(a_run(first=0), 1.0, 9.0, [1, 2], by_s=60.0), 5.0, 7.0, [2, 1], by_s=5.0)
    ahead = [(1.0, 6.0, 60.0), (5.0, 8.0, 65.0), (7.0, 10.0, 60.0)]
    assert ([], ahead) == (clock_errors(history.events).behind, clock_errors(history.events).ahead)


def test_what_clocks_excuse() -> None:
    """One that was behind may have stamped the record; two that were ahead count while it was there."""
    assert [] == judged(clock(a_run(first=3), 18.0, 19.5, [1], by_s=-60.0))
    assert [] == judged(clock(a_run(first=3), 20.25, 29.0, [1], by_s=-60.0))
    assert [] == judged(clock(a_run(first=3), 25.0, 27.0, [1, 2], by_s=60.0))
    assert 1 == len(judged(clock(a_run(first=3), 5.0, 9.0, [1, 2], by_s=60.0)))


def test_a_clock_that_was_behind_has_stamped_nothing_of_other_times() -> None:
    """Neither what was there by then, nor what came when it was right again."""
    assert 1 == len(judged(clock(a_run(first=3), 5.0, 9.0, [1], by_s=-60.0)))
    assert 1 == len(judged(clock(a_run(first=3), 21.0, 29.0, [1], by_s=-60.0)))


def test_other_faults_have_rates_too() -> None:
    """Those of links are in kB/s, and no clock was wrong."""
    assert ([], []) == wrong(fault(a_run(first=3), "bandwidth", 5.0, 25.0, [1, 2], rate=200.0))
    assert 1 == len(judged(fault(a_run(first=3), "bandwidth", 5.0, 25.0, [1, 2], rate=200.0)))
    for name in ("clock_rate", "clocks_rate"):
        assert ([], [(5.0, 26.0, 20.0)]) == wrong(fault(a_run(first=3), name, 5.0, 25.0, [1, 2], rate=2.0))


def wrong(history: History) -> tuple[list[Wrong], list[Wrong]]:
    """How wrong clocks were."""
    errors = clock_errors(history.events)
    return errors.behind, errors.ahead
