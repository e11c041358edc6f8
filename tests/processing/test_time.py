"""Event time: what moves the watermark, what holds it, and what timers do with it."""

import datetime as dt

import pytest

from cluster.errors import InvalidApp, ProcessorFailed
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.processor import Processor
from cluster.processing.watermarks import NO_WRITER, Said, TimeState, Watermarks
from cluster.processing.windows import Window
from cluster.processing.work import AFTER_ALL_TIME_NS, BEFORE_ALL_TIME_NS

S = 10**9
A, B = (0, 0, NO_WRITER), (0, 1, NO_WRITER)


class Tick(Event):
    """Something that happened at a second."""

    who: str
    at: int = 0


def two_partitions() -> Watermarks:
    """Of a task with two, of which nothing is known."""
    return Watermarks(TimeState(), [A[:2], B[:2]], [])


def test_the_slowest_partition_decides() -> None:
    """Nothing is known until all were seen; it never goes back."""
    time = two_partitions()
    time.begin(0, [], ended=False)
    time.advance(A, 50)
    assert BEFORE_ALL_TIME_NS == time.value_ns
    time.advance(B, 20)
    assert 20 == time.value_ns
    time.advance(B, 10)
    assert 20 == time.value_ns
    time.advance(B, 90)
    assert 50 == time.value_ns


def test_who_is_idle_is_left_out_and_who_is_away_is_not() -> None:
    """An idle partition holds nobody up; one of which nothing comes, and that is not known to be idle, does."""
    time = two_partitions()
    time.begin(0, [], ended=False)
    time.advance(A, 50)
    time.advance(B, 20)
    time.begin(1, [], ended=False)
    time.advance(A, 80)
    assert 20 == time.value_ns
    time.begin(2, [B[:2]], ended=False)
    assert 80 == time.value_ns
    time.begin(3, [], ended=False)
    time.advance(B, 70)
    time.advance(A, 90)
    assert 80 == time.value_ns


def test_when_all_are_idle_time_goes_on_at_the_clocks_pace() -> None:
    """From the latest of them, by as much as has passed since it was seen; at the end it is after all time."""
    time = two_partitions()
    time.begin(1000, [B[:2]], ended=False)
    time.advance(A, 50)
    assert 50 == time.value_ns
    time.begin(1030, [A[:2], B[:2]], ended=False)
    assert (80, True) == (time.value_ns, time.is_idle)
    time.begin(1040, [A[:2], B[:2]], ended=True)
    assert AFTER_ALL_TIME_NS == time.value_ns


def test_who_writes_a_rekeyed_topic_says_how_far_it_is() -> None:
    """All of those who write count, each partition of theirs; one that is idle is left out."""
    time = Watermarks(TimeState(), [(0, 0)], [0])
    time.begin(0, [(0, 0)], ended=False)
    time.told((0, 0), Said(task=0, tasks=2, watermark_ns=30, idle=False))
    assert BEFORE_ALL_TIME_NS == time.value_ns
    time.told((0, 0), Said(task=1, tasks=2, watermark_ns=10, idle=False))
    assert 10 == time.value_ns
    time.told((0, 0), Said(task=1, tasks=2, watermark_ns=10, idle=True))
    assert 30 == time.value_ns
    said = time.to_say(3, 4)
    assert Said(task=3, tasks=4, watermark_ns=30, idle=False) == said
    assert time.to_say(3, 4) is None


def test_who_is_at_the_end_does_not_speak_for_who_is_idle() -> None:
    """Of a bounded job one writer is done and the other idle: it may still have records, which are not to be late."""
    time = Watermarks(TimeState(), [(0, 0)], [0])
    time.begin(0, [(0, 0)], ended=False)
    time.told((0, 0), Said(task=1, tasks=2, watermark_ns=10, idle=True))
    time.told((0, 0), Said(task=0, tasks=2, watermark_ns=AFTER_ALL_TIME_NS, idle=True))
    assert 10 == time.value_ns
    time.told((0, 0), Said(task=1, tasks=2, watermark_ns=40, idle=False))
    assert 40 == time.value_ns
    time.told((0, 0), Said(task=1, tasks=2, watermark_ns=AFTER_ALL_TIME_NS, idle=True))
    assert AFTER_ALL_TIME_NS == time.value_ns


def ticking() -> App:
    """An app whose timers say when they fire."""
    app = App("clock")
    ticks = app.topic("ticks", Tick, key="who", time="at", idle="30s")

    @app.processor(ticks, to="rings", name="work")
    def work(tick: Tick, seen: State[int], ctx: Ctx) -> None:
        seen.value += 1
        if tick.at % 10 == 7:
            ctx.cancel("event")
        elif tick.at % 10 == 9:
            ctx.timer("clock", after="5s", clock="processing")
        else:
            ctx.timer("event", after="10s")

    @work.timer("event")
    def event(seen: State[int], ctx: Ctx) -> str:
        return f"event {ctx.key} {seen.value} {ctx.time_ns // S}"

    @work.timer("clock")
    def clock(ctx: Ctx) -> str:
        assert ctx.position is None
        return f"clock {ctx.key} {ctx.now:%H:%M:%S}"

    return app


@pytest.mark.parametrize("crash", ["commit", "ship", "receipt"])
def test_timers_fire_once_when_it_is_time(crash: str) -> None:
    """One for each key and name: set again it is moved, cancelled it is gone; a crash neither loses nor doubles it."""
    app = ticking()
    work = app.processors["work"]
    with app.test(partitions=1) as t:
        t.send("ticks", Tick("a", 100 * S), Tick("b", 101 * S), Tick("c", 102 * S), Tick("b", 104 * S))
        assert [] == t.read("rings")
        t.crash(work, before=crash)
        t.send("ticks", Tick("d", 110 * S))
        assert ["event a 1 110"] == t.read("rings")
        t.send("ticks", Tick("c", 117 * S + 7))
        t.crash(work, before=crash)
        t.send("ticks", Tick("e", 200 * S))
        t.settle()

        assert ["event a 1 110", "event b 2 114", "event d 1 120"] == t.read("rings")


@pytest.mark.parametrize("fate", ["cancelled", "moved", "left"])
def test_what_one_timer_does_to_another_holds_in_the_same_work(fate: str) -> None:
    """Two are due at once: what the first has cancelled does not fire, and what it has moved fires once, in its time.

    As if time had come to one after the other.
    """
    app = App("clock")
    ticks = app.topic("ticks", Tick, key="who", time="at")

    @app.processor(ticks, to="rings", name="work")
    def work(tick: Tick, ctx: Ctx) -> None:
        if tick.who == "a":
            ctx.timer("first", after="10s")
            ctx.timer("second", after="12s")

    @work.timer("first")
    def first(ctx: Ctx) -> str:
        if fate == "cancelled":
            ctx.cancel("second")
        elif fate == "moved":
            ctx.timer("second", after="20s")
        return f"first {ctx.time_ns // S}"

    @work.timer("second")
    def second(ctx: Ctx) -> str:
        return f"second {ctx.time_ns // S}"

    found = []
    for steps in ([200], [110, 112, 129, 130, 200]):
        with app.test(partitions=1) as t:
            t.send(ticks, Tick("a", 100 * S))
            for step in steps:
                t.settle()
                t.send(ticks, Tick("b", step * S))
            found.append(t.read("rings"))

    expected = {"cancelled": ["first 110"], "moved": ["first 110", "second 130"], "left": ["first 110", "second 112"]}
    assert [expected[fate]] * 2 == found


def test_timers_of_the_clock_and_of_silence() -> None:
    """A processing timer fires by the clock; an event timer, when nothing more comes, when its inputs are idle."""
    app = ticking()
    with app.test(now=dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)) as t:
        t.send("ticks", Tick("a", 9), Tick("b", 100 * S))
        t.advance("4s")
        assert [] == t.read("rings")
        t.advance("1s")
        assert ["clock a 12:00:05"] == t.read("rings")
        t.advance("24s")
        assert ["clock a 12:00:05"] == t.read("rings")
        t.advance("1s")
        assert ["clock a 12:00:05", "event b 1 110"] == t.read("rings")


def test_a_timer_without_a_function_cannot_be_set() -> None:
    """The mistake is the author's, and the message says what is missing."""
    app = App("clock")
    ticks = app.topic("ticks", Tick, key="who")

    @app.processor(ticks)
    def work(tick: Tick, ctx: Ctx) -> None:
        ctx.timer(f"ring{tick.at}", after="1s")

    with (
        pytest.raises(ProcessorFailed, match=r"timer 'ring0' has no function: write one with") as caught,
        app.test() as t,
    ):
        t.send(ticks, Tick("a"))

    assert isinstance(caught.value.__cause__, InvalidApp)


@pytest.mark.parametrize("partitions", [1, 3])
def test_windows_of_a_rekeyed_topic_close_without_an_end(partitions: int) -> None:
    """Each task that reads it hears from all that write it, when they go on, and when they fall silent."""
    app = App("clock")
    ticks = app.topic("ticks", Tick, key="who", time="at", idle="30s")

    @app.window(ticks, key="at", tumbling="10s", to="counts")
    def count(window: Window, ticks: list[Tick]) -> list[int]:
        return [window.key // S, len(ticks)]

    with app.test(partitions=partitions) as t:
        t.send(ticks, *[Tick(who, at * S) for at in (100, 101, 102) for who in "abcdefgh"])
        assert [] == t.read("counts")
        t.send(ticks, *[Tick(who, 120 * S) for who in "abcdefgh"])
        assert [8, 100, 8, 101, 8, 102] == sorted_pairs(t.read("counts"))
        t.advance("45s")
        assert [8, 100, 8, 101, 8, 102, 8, 120] == sorted_pairs(t.read("counts"))
        assert "late" not in t.counts(count)


def test_who_reads_what_another_writes_ends_after_it() -> None:
    """Whichever of them was defined first: what closes at the end comes before the end."""
    app = App("clock")
    ticks = app.topic("ticks", Tick, key="who", time="at")
    counts = app.topic("counts", Tick, key="who", time="at")

    @app.window(counts, tumbling="60s", to="minutes")
    def of_a_minute(window: Window, counts: list[Tick]) -> int:
        return len(counts) if window.start_ns >= 0 else -1

    @app.window(ticks, tumbling="10s", to=counts)
    def of_seconds(window: Window, ticks: list[Tick]) -> Tick:
        return Tick(ticks[0].who, window.start_ns)

    with app.test() as t:
        t.send(ticks, *[Tick("a", n * S) for n in (0, 1, 10, 20)])
        t.finish()
        assert [3] == t.read("minutes")
        assert {} == t.counts(of_a_minute)


def sorted_pairs(numbers: list[int]) -> list[int]:
    """Of (second, count), by second, the count first."""
    return [n for pair in sorted(zip(numbers[::2], numbers[1::2], strict=True)) for n in reversed(pair)]


def test_windows_of_another_size_stand_beside_those_that_are_open() -> None:
    """New code cuts time otherwise: what is open closes as it was, and takes nothing of the new ones."""

    def counting(size: str) -> tuple[App, Processor]:
        app = App("clock")
        ticks = app.topic("ticks", Tick, key="who", time="at")

        @app.window(ticks, tumbling=size, to="counts")
        def count(window: Window, ticks: list[Tick]) -> list[int]:
            return [(window.end_ns - window.start_ns) // S, len(ticks)]

        return app, count

    app, count = counting("60s")
    _, count_anew = counting("10s")
    with app.test(partitions=1) as t:
        t.send("ticks", *[Tick("a", n * S) for n in (0, 1, 2)])
        t.settle()
        (task,) = t._tasks_of(count)
        (task.stage,) = count_anew.stages
        task._runner = task._new_runner()
        t.send("ticks", *[Tick("a", n * S) for n in (3, 4, 15, 70)])
        t.finish()
        assert [10, 2, 10, 1, 60, 3, 10, 1] == t.read("counts")
