"""Which timers are due, after any changes; and that moved ones leave nothing behind."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.processing.timers import STALE_MIN, Timers
from cluster.processing.work import Fired, TimerClock

CHANGES = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b"]),
        st.sampled_from(["x", "y", "z"]),
        st.one_of(st.none(), st.integers(-3, 9)),
        st.sampled_from(TimerClock),
    ),
    max_size=40,
)


@given(CHANGES, st.integers(-4, 10), st.integers(1, 9))
def test_what_is_due_is_what_a_dictionary_says(changes, upto_ns, count_max):
    """Earliest first; asking takes nothing away; encoded and decoded it is the same."""
    timers, expected = Timers([]), {}
    for key, name, at_ns, clock in changes:
        expected.pop((key, name), None)
        if at_ns is None:
            timers.delete(key, name)
        else:
            timers.set(key, name, at_ns, clock)
            expected[key, name] = (at_ns, clock)
    for known in (timers, timers, Timers(timers.plain())):
        for clock in TimerClock:
            due = sorted((at, key, name) for (key, name), (at, of) in expected.items() if of is clock)
            found = [Fired(key=key, name=name, at_ns=at) for at, key, name in due if at <= upto_ns]
            assert found[:count_max] == known.due(clock, upto_ns, count_max)
            assert (due[0][0] if due else None) == known.next_ns(clock)
        assert (len(expected), timers.bytes) == (len(known), known.bytes)


def test_a_timer_that_is_moved_for_ever_takes_no_more_room():
    """Windows of sessions do that with each record."""
    timers = Timers([])
    for at_ns in range(10_000):
        timers.set(b"k", "t", at_ns, TimerClock.EVENT)
    assert sum(map(len, timers._heaps.values())) <= STALE_MIN + 2
    assert [Fired(key=b"k", name="t", at_ns=9_999)] == timers.due(TimerClock.EVENT, 10_000, 5)
