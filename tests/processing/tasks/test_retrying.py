"""When it is a record's turn again, what it holds up meanwhile, and what is said of it."""

import pytest

from cluster.errors import TriesLeft
from cluster.processing.policies import dead_letter, stop
from cluster.processing.tasks.retrying import Retrying
from cluster.processing.work import Batch, Fired, Work


def batch(begin: int, end: int, *, partition: int = 3) -> Batch:
    """Offsets of input 1."""
    return Batch(
        input=1,
        partition=partition,
        payload=b"",
        codec=0,
        uncompressed_size=0,
        record_count=end - begin,
        base_offset=begin,
        begin=begin,
        end=end,
    )


def work(*batches: Batch, fired: tuple[Fired, ...] = ()) -> Work:
    """One of these."""
    return Work(task=0, n=1, now_ns=0, batches=list(batches), fired=list(fired), idle=[])


def at_record(offset: int, failures: int, *, partition: int = 3, wait_ms: int = 100) -> TriesLeft:
    """As `attempts` has it."""
    place = {"input": "1", "partition": str(partition), "offset": str(offset)}
    return TriesLeft("no luck", failures=str(failures), wait_ns=str(wait_ms * 10**6), **place)


def test_a_record_waits_between_half_and_all_of_what_its_policy_says() -> None:
    """By chance, so that what failed together does not come again together."""
    for chance, due_s in ((0.0, 10.05), (0.5, 10.075), (1.0, 10.1)):
        retrying = Retrying()
        retrying.failed(work(batch(0, 9)), at_record(4, 1), 10.0, chance)
        assert pytest.approx(due_s) == retrying.held[1, 3].due_s
        assert pytest.approx(due_s - 10.0) == retrying.wait_s(10.0)
        assert retrying.wait_s(due_s) is None


def test_what_was_done_is_not_tried_again() -> None:
    """What comes before the record is not it, nor is what another partition has there."""
    retrying = Retrying()
    retrying.failed(work(batch(0, 9)), at_record(4, 1), 0.0, 1.0)
    retrying.passed(work(batch(0, 4), batch(0, 9, partition=2)))
    assert [(1, 3)] == list(retrying.held)
    retrying.passed(work(batch(4, 5)))
    assert not retrying.held
    assert ("", "") == retrying.told(0.0)


def test_a_timer_is_known_by_what_it_is() -> None:
    """And not by its number in a work, which is another one when it is alone."""
    retrying = Retrying()
    timers = (Fired(key=b"a", name="t", at_ns=1), Fired(key=b"b", name="t", at_ns=1))
    retrying.failed(work(fired=timers), TriesLeft("no", failures="1", wait_ns="0", fired="1"), 0.0, 1.0)
    retrying.passed(work(fired=timers[:1]))
    assert retrying.timer is not None
    assert timers[1] == retrying.timer[0]
    retrying.passed(work(fired=timers[1:]))
    assert retrying.timer is None


def test_what_is_told_is_of_the_next_one() -> None:
    """How often it failed, and when it is tried again; of others how many there are."""
    retrying = Retrying()
    retrying.failed(work(batch(0, 9)), at_record(4, 3, wait_ms=2_000), 0.0, 1.0)
    assert "no luck (3 times so far, tried again in 2.0 s)" == retrying.told(0.0)[0]
    retrying.failed(work(batch(0, 9, partition=5)), at_record(4, 1, partition=5), 0.0, 1.0)
    assert "no luck (once so far, tried again in 0.1 s; 1 more wait for their next attempt)" == retrying.told(0.0)[0]
    assert "(once so far, tried again now;" in retrying.told(1.0)[0]


def test_waits_are_doubled_up_to_a_limit() -> None:
    """0.1 s, and then up to 10 s, unless the policy says otherwise."""
    waits_ms = [dead_letter().wait_ns(failures) // 10**6 for failures in range(1, 10)]
    assert [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] == waits_ms
    policy = stop(retries=100, backoff="1s", backoff_max="3s")
    assert [1, 2, 3, 3] == [policy.wait_ns(failures) // 10**9 for failures in (1, 2, 3, 100)]
    assert 0 == dead_letter(backoff="0s").wait_ns(5)
