"""How long a process that ended waits for its next start."""

from cluster.processing.hosting.restarts import Restarts


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    """From the end on, not from when somebody asks."""
    restarts = Restarts(0.1, 1.0)
    waits = []
    for n in range(6):
        restarts.started(10.0 * n)
        restarts.ended(10.0 * n + 0.5, "it fell")
        waits.append(round(restarts.wait_s(10.0 * n + 0.5), 3))

    assert [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == waits
    assert 0.4 == round(restarts.wait_s(51.1), 3)
    assert 0.0 == restarts.wait_s(60.0)


def test_who_has_run_well_begins_anew() -> None:
    """What was before is forgotten; and an end that was asked for is none."""
    restarts = Restarts(0.1, 1.0)
    for now_s in (0.0, 0.1, 0.2):
        restarts.started(now_s)
        restarts.ended(now_s, "it fell")
    restarts.started(5.0)
    restarts.ended(6.0, "it fell again")

    assert (1, 0.1) == (restarts.count, round(restarts.wait_s(6.0), 3))
    restarts.started(7.0)
    restarts.stopped()
    assert 1 == restarts.count


def test_it_says_why_in_a_sentence() -> None:
    """While it does not run, and has failed."""
    restarts = Restarts(0.1, 1.0)
    assert not restarts.trouble(0.0, "shop.py")
    restarts.started(0.0)
    restarts.ended(0.0, "it fell")
    assert "the process of shop.py failed once and may be started again in 0.1 s: it fell" == restarts.trouble(
        0, "shop.py"
    )
    restarts.ended(0.0, "no disk")
    assert "the process of shop.py failed 2 times in a row and may be started again now: no disk" == restarts.trouble(
        1.0, "shop.py"
    )
    restarts.started(1.0)
    assert not restarts.trouble(1.0, "shop.py")
