"""The records that end the process are found, and no others."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import HostFailed, ProcessorFailed
from cluster.processing.tasks.suspicion import ALONE_MAX, Suspicion
from cluster.processing.work import Batch, Condemned, Fired, Work


def work(begin: int, end: int, *, fired: int = 0) -> Work:
    """Offsets from `begin` to before `end` of one partition, and some timers."""
    batch = Batch(
        input=0,
        partition=3,
        payload=b"",
        codec=0,
        uncompressed_size=0,
        record_count=end - begin,
        base_offset=begin,
        begin=begin,
        end=end,
    )
    timers = [Fired(key=b"k", name=f"t{number}", at_ns=1) for number in range(fired)]
    return Work(task=0, n=1, now_ns=0, batches=[batch] if end > begin else [], fired=timers, idle=[])


@settings(deadline=None)
@given(count=st.integers(1, 3_000), poison=st.sets(st.integers(0, 2_999), max_size=4))
def test_only_the_culprits_are_condemned(count: int, poison: set[int]) -> None:
    """A process that ends at each of them, until they are not shown to it; and few works are done again."""
    suspicion, position, failures = Suspicion(), 0, 0
    condemned: set[int] = set()
    poison = {offset for offset in poison if offset < count}
    while position < count:
        item = work(position, min(position + (suspicion.records_max or 1_000), count))
        hidden = {c.offset for c in suspicion.condemned}
        if any(offset in poison and offset not in hidden for offset in range(position, item.batches[0].end)):
            failures += 1
            suspicion.failed(item, HostFailed("gone"))
            condemned |= {c.offset for c in suspicion.condemned}
        else:
            position = item.batches[0].end
            suspicion.passed(item)

    assert poison == condemned
    assert failures <= 7 * len(poison)
    assert suspicion.condemned == []


def test_a_process_that_ended_twice_is_not_held_against_a_record() -> None:
    """It may have been killed by whoever runs the machine."""
    suspicion = Suspicion()
    suspicion.failed(work(5, 6), HostFailed("killed"))
    suspicion.failed(work(5, 6), HostFailed("killed"))
    suspicion.passed(work(5, 6))
    suspicion.failed(work(6, 7), HostFailed("killed"))

    assert suspicion.condemned == []


def test_a_timer_that_does_it_stops_the_task() -> None:
    """It stands for no record that could be put aside; and once something is suspected it is not mixed with records."""
    suspicion = Suspicion()
    suspicion.failed(work(0, 100, fired=3), HostFailed("gone"))
    assert suspicion.timers_apart
    for _ in range(ALONE_MAX - 1):
        suspicion.failed(work(0, 0, fired=1), HostFailed("gone"))
    with pytest.raises(ProcessorFailed, match="timer 't0'"):
        suspicion.failed(work(0, 0, fired=1), HostFailed("gone"))


def test_an_empty_work_says_nothing() -> None:
    """Nobody's record was in it."""
    suspicion = Suspicion()
    suspicion.failed(work(0, 0), HostFailed("gone"))

    assert suspicion.records_max is None


def test_what_does_not_fit_into_a_commit_is_done_with_fewer_records() -> None:
    """Down to one, which is condemned, and then its dead letter, at which the task stops."""
    suspicion = Suspicion()
    suspicion.unfit(work(0, 17), "20 bytes")
    assert suspicion.records_max == 2
    suspicion.unfit(work(0, 2), "20 bytes")
    suspicion.unfit(work(0, 1), "20 bytes")
    assert suspicion.condemned == [Condemned(input=0, partition=3, offset=0, why="20 bytes")]
    with pytest.raises(ProcessorFailed, match="20 bytes"):
        suspicion.unfit(msgspec.structs.replace(work(0, 1), condemned=suspicion.condemned), "20 bytes")


def test_works_stay_small_until_what_was_suspected_is_done() -> None:
    """And grow then."""
    suspicion = Suspicion()
    suspicion.failed(work(0, 64), HostFailed("gone"))
    for begin in range(0, 64, 8):
        assert suspicion.records_max == 8
        suspicion.passed(work(begin, begin + 8))

    assert suspicion.records_max == 16


def test_what_came_of_a_source_is_made_smaller_until_it_fits():
    """It has no batches: what came is known by its number alone, and one record that does not fit ends it."""
    suspicion = Suspicion()
    came = Work(task=0, n=1, now_ns=0, batches=[], fired=[], idle=[], records_max=100)
    sizes = []
    while (size := suspicion.records_max or 100) > 1:
        sizes.append(size)
        suspicion.unfit(msgspec.structs.replace(came, records_max=size), "20 bytes")
    assert [100, 12] == sizes
    with pytest.raises(ProcessorFailed, match="20 bytes"):
        suspicion.unfit(msgspec.structs.replace(came, records_max=1), "20 bytes")
    for _ in range(20):
        suspicion.passed(came)
    assert suspicion.records_max is None
