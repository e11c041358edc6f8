"""A source's works: what came and the cursor behind it are one, and the peer hears of it after the commit."""

import asyncio
from collections.abc import Iterator

import pytest

from cluster.connectors.contract import Arrival, Arrived
from cluster.errors import InvalidRoute, Unreachable
from cluster.processing.outside.background import Background
from cluster.processing.outside.capture import FORGET, SEEN_OF_STORE, SEEN_STORE
from cluster.processing.work import Fired, Work
from tests.processing.outside.stages import Numbers, ToldSource, capture, keep, nothing, until


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


def arrived(cursor: bytes, *values: object, unique: str = "") -> Arrived:
    """Some records and the cursor behind them."""
    records = [Arrival(value=value, key=b"k", headers=(("h", b"1"),), unique=unique) for value in values]
    return Arrived(records=records, cursor=cursor)


def arrivals(cursor: bytes, **values: object) -> Arrived:
    """Records by what each is known by."""
    return Arrived(records=[Arrival(value=value, unique=unique) for unique, value in values.items()], cursor=cursor)


def test_what_came_goes_on_as_it_is_and_the_cursor_is_state_of_the_task(background: Background) -> None:
    """Another runner begins behind what was committed, and the peer is told of that alone."""
    source, state = ToldSource(), {}
    runner, _ = capture(source, background, state)
    source.steps += [arrived(b"c1", {"a": 1}, b"raw"), arrived(b"c2", 3)]
    until(lambda: len(source.cursors) == 3)
    effects = runner.run(nothing(n=1, now_ns=77))
    assert [b'{"a":1}', b"raw", b"3"] == [output.value for output in effects.outputs]
    first = effects.outputs[0]
    assert (b"k", 77, [("h", b"1"), ("rr-source", b"in/0@0")]) == (first.key, first.timestamp_ns, first.headers)
    assert [] == source.confirmed
    keep(state, effects)
    runner.committed(1)
    until(lambda: [b"c2"] == source.confirmed)
    runner.close()
    assert 1 == source.closed

    source.cursors.clear()
    again, _ = capture(source, background, state)
    until(lambda: [b"c2"] == source.cursors)
    source.steps.append(arrived(b"c3", 4))
    until(lambda: again.word().ready)
    assert ("rr-source", b"in/0@3") in again.run(nothing(n=2)).outputs[0].headers
    again.close()


def test_nothing_comes_of_a_work_when_nothing_came(background: Background) -> None:
    """So nothing is committed."""
    runner, _ = capture(ToldSource(), background, {})
    assert runner.run(nothing()).is_nothing
    runner.close()


def test_it_reads_ahead_a_little_and_waits_until_that_is_taken(background: Background) -> None:
    """Four batches."""
    source = ToldSource()
    runner, said = capture(source, background, {})
    source.steps += [arrived(b"%d" % number, number) for number in range(10)]
    until(lambda: len(said) == 4)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02), background.loop).result()
    assert 6 == len(source.steps)
    assert 4 == len(runner.run(nothing()).outputs)
    until(lambda: 2 == len(source.steps))
    runner.close()


def test_a_peer_that_is_away_is_tried_again_and_said_to_be(background: Background) -> None:
    """From the same cursor."""
    source = ToldSource()
    source.steps += [Unreachable("nobody is at home"), arrived(b"c", 1)]
    runner, _ = capture(source, background, {})
    until(lambda: runner.word().trouble == "nobody is at home")
    until(lambda: runner.word().ready)
    assert "" == runner.word().trouble
    assert [None, None] == source.cursors[:2]
    runner.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [(InvalidRoute("no such table"), "no such table"), (KeyError("x"), "in: its connector failed: KeyError")],
)
def test_what_only_a_person_can_mend_ends_the_work_after_all_that_came_before(
    background: Background, error: Exception, said: str
) -> None:
    """So does a connector that fails."""
    source = ToldSource()
    source.steps += [arrived(b"c", 1), error]
    runner, _ = capture(source, background, {})
    until(lambda: not source.steps)
    assert 1 == len(runner.run(nothing()).outputs)
    until(lambda: runner.word().ready)
    with pytest.raises(InvalidRoute, match=said):
        runner.run(nothing(n=2))
    runner.close()


def test_what_a_peer_sends_again_is_taken_once_until_it_is_forgotten(background: Background) -> None:
    """Through a crash, too: what was seen is state."""
    source, state = ToldSource(), {}
    runner, _ = capture(source, background, state, unique_s=300.0)
    source.steps += [arrived(b"c1", 1, 2, unique="a")]
    until(lambda: runner.word().ready)
    effects = runner.run(nothing(n=1, now_ns=1_000))
    assert [b"1"] == [output.value for output in effects.outputs]
    assert {"repeated": 1} == effects.counts
    (timer,) = effects.timers
    assert (FORGET, 1_000 + 300 * 10**9) == (timer.name, timer.at_ns)
    keep(state, effects)
    runner.close()

    again, _ = capture(source, background, state, unique_s=300.0)
    source.steps += [arrived(b"c2", 1, unique="a")]
    until(lambda: again.word().ready)
    effects = again.run(nothing(n=2, now_ns=2_000))
    assert [] == effects.outputs
    keep(state, effects)
    fired = Fired(key=timer.key, name=timer.name, at_ns=timer.at_ns)
    keep(state, again.run(Work(task=0, n=3, now_ns=timer.at_ns, batches=[], fired=[fired], idle=[])))
    assert [("~source", b"")] == list(state)
    source.steps += [arrived(b"c3", 1, unique="a")]
    until(lambda: again.word().ready)
    assert 1 == len(again.run(nothing(n=4, now_ns=timer.at_ns)).outputs)
    again.close()


def test_what_was_seen_stays_seen_when_a_record_beside_it_fails(background: Background) -> None:
    """What is taken back then is its own; the one that failed is seen, too."""
    source, state = ToldSource(), {}
    runner, _ = capture(source, background, state, unique_s=300.0, transform=Numbers())
    source.steps += [arrivals(b"c1", a=1, b="bad", c=2)]
    until(lambda: runner.word().ready)
    effects = runner.run(nothing(n=1))
    assert [b"1", b"2"] == [output.value for output in effects.outputs]
    assert {"repeated": 0, "skipped": 1} == effects.counts
    keep(state, effects)
    runner.close()

    again, _ = capture(source, background, state, unique_s=300.0, transform=Numbers())
    source.steps += [arrivals(b"c2", a=1, b="bad", c=2)]
    until(lambda: again.word().ready)
    effects = again.run(nothing(n=2))
    assert [] == effects.outputs
    assert {"repeated": 3} == effects.counts
    again.close()


def test_what_was_forgotten_stays_so_when_the_first_record_after_it_fails(background: Background) -> None:
    """Both are one work."""
    source, state = ToldSource(), {}
    runner, _ = capture(source, background, state, unique_s=300.0, transform=Numbers())
    source.steps += [arrivals(b"c1", a=1)]
    until(lambda: runner.word().ready)
    effects = runner.run(nothing(n=1))
    keep(state, effects)
    (timer,) = effects.timers
    fired = Fired(key=timer.key, name=timer.name, at_ns=timer.at_ns)
    source.steps += [arrivals(b"c2", b="bad")]
    until(lambda: runner.word().ready)
    work = Work(task=0, n=2, now_ns=timer.at_ns, batches=[], fired=[fired], idle=[])
    keep(state, runner.run(work))
    assert [b"b"] == [key for store, key in state if store == SEEN_STORE]
    assert [b"2"] == [key for store, key in state if store == SEEN_OF_STORE]
    runner.close()
