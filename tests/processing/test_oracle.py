"""Each operator against a few lines of plain Python: random events out of order, tasks that crash at random."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State, Table
from cluster.processing.processor import ALL, Processor
from cluster.processing.rehearsal import CRASHES
from cluster.processing.testing import Rehearsal
from cluster.processing.windows import Window

S = 10**9
DISORDER_S = 10


class Sale(Event):
    """A sale at a second of event time."""

    n: int
    customer: str
    sku: str
    at: int
    amount: int


class Total(Event):
    """What a window holds."""

    key: str
    start: int
    end: int
    amount: int
    ns: list[int]


@st.composite
def sales(draw: st.DrawFn, *, late: bool = False) -> list[Sale]:
    """Sales whose times are out of order by DISORDER_S at most, or, where they may be late, by much more."""
    at = 1_000
    made = []
    for n in range(draw(st.integers(1, 40))):
        at += draw(st.sampled_from([0, 0, 1, 3, 7, 25]))
        back = draw(st.integers(0, 60 if late else DISORDER_S))
        made.append(Sale(n, draw(st.sampled_from("abc")), draw(st.sampled_from("xy")), (at - back) * S, 1 << (n % 8)))
    return made


faults = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(CRASHES)), max_size=6)


def play(
    t: Rehearsal, processors: list[Processor], topic: object, events: list[Sale], faults: list[tuple[int, str]]
) -> None:
    """Send a few at a time, let some of it be worked on, and crash what works."""
    crashes = iter(faults)
    for first in range(0, len(events), 5):
        t.send(topic, *events[first : first + 5])
        steps, place = next(crashes, (2, ""))
        for _ in range(steps):
            t.step()
        if place:
            for processor in processors:
                t.crash(processor, before=place)


def windowed(**form: object) -> tuple[App, object, Processor]:
    """An app with one window by customer."""
    app = App("shop")
    topic = app.topic("sales", Sale, key="customer", time="at", disorder=f"{DISORDER_S}s")

    @app.window(topic, to="totals", **form)
    def total(window: Window, sales: list[Sale]) -> Total:
        amount = sum(sale.amount for sale in sales)
        return Total(window.key, window.start_ns, window.end_ns, amount, [sale.n for sale in sales])

    return app, topic, total


def as_totals(windows: dict[tuple[str, int, int], list[Sale]]) -> list[tuple[str, int, int, int, list[int]]]:
    """What plain Python makes of windows: in the order of times."""
    return sorted(
        (key, start, end, sum(s.amount for s in inside), [s.n for s in sorted(inside, key=lambda s: s.at)])
        for (key, start, end), inside in windows.items()
    )


def plain(totals: list[Total]) -> list[tuple[str, int, int, int, list[int]]]:
    """What the app made, comparable."""
    return sorted((t.key, t.start, t.end, t.amount, t.ns) for t in totals)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sales(), faults, st.sampled_from([1, 2, 3]))
def test_keyed_state(events: list[Sale], faults: list[tuple[int, str]], tasks: int) -> None:
    """Counts, sums and sets by key are those of a loop, whatever crashed."""
    app = App("shop")
    topic = app.topic("sales", Sale, key="customer", time="at")

    @app.processor(topic, to="sums")
    def sums(sale: Sale, total: State[int], by_sku: MapState[str, int]) -> list[int]:
        total.value += sale.amount
        by_sku[sale.sku] = by_sku.get(sale.sku, 0) + 1
        return [total.value, by_sku[sale.sku]]

    expected: list[tuple[str, int]] = []
    seen: Counter[str] = Counter()
    skus: Counter[tuple[str, str]] = Counter()
    for sale in events:
        seen[sale.customer] += sale.amount
        skus[sale.customer, sale.sku] += 1
        expected += [(sale.customer, seen[sale.customer]), (sale.customer, skus[sale.customer, sale.sku])]

    with app.test(tasks=tasks, records_per_work=3) as t:
        play(t, [sums], topic, events, faults)
        found = defaultdict(list)
        for record in t.records("sums"):
            found[record.key.decode()].append(int(record.value))

        assert dict(seen) == {customer: t.state(sums, customer) for customer in seen}
        for customer in seen:
            assert [n for who, n in expected if who == customer] == found[customer]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sales(), faults, st.sampled_from([("20s", "20s"), ("30s", "10s")]))
def test_tumbling_and_hopping_windows(events: list[Sale], faults: list[tuple[int, str]], form: tuple[str, str]) -> None:
    """With no more disorder than allowed nothing is late, and each window is given out once, with all that is its."""
    app, topic, total = windowed(hopping=form)
    size, step = (int(length[:-1]) * S for length in form)
    windows: dict[tuple[str, int, int], list[Sale]] = defaultdict(list)
    for sale in events:
        start = sale.at - sale.at % step
        while start > sale.at - size:
            windows[sale.customer, start, start + size].append(sale)
            start -= step

    with app.test(records_per_work=3) as t:
        play(t, [total], topic, events, faults)
        t.finish()

        assert as_totals(windows) == plain(t.read("totals", Total))
        assert "late" not in t.counts(total)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sales(), faults)
def test_session_windows(events: list[Sale], faults: list[tuple[int, str]]) -> None:
    """A silence of the gap ends a session; sessions that an event between them joins become one."""
    app, topic, total = windowed(session="8s")
    windows: dict[tuple[str, int, int], list[Sale]] = {}
    for customer in "abc":
        run: list[Sale] = []
        for sale in sorted((s for s in events if s.customer == customer), key=lambda s: s.at):
            if run and sale.at - run[-1].at >= 8 * S:
                windows[customer, run[0].at, run[-1].at + 8 * S] = run
                run = []
            run.append(sale)
        if run:
            windows[customer, run[0].at, run[-1].at + 8 * S] = run

    with app.test(records_per_work=3) as t:
        play(t, [total], topic, events, faults)
        t.finish()

        expected = [row[:4] for row in as_totals(windows)]
        assert expected == [row[:4] for row in plain(t.read("totals", Total))]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sales(late=True), faults, st.sampled_from(["drop", "update", "topic"]))
def test_late_data(events: list[Sale], faults: list[tuple[int, str]], late: str) -> None:
    """In one partition, what is late is a function of the records' order alone; each goes where it was to go."""
    more = {"drop": {}, "update": {"late": "update", "lateness": "30s"}, "topic": {"late_to": "too-late"}}[late]
    app, topic, total = windowed(tumbling="20s", **more)
    lateness = 30 * S if late == "update" else 0
    windows: dict[tuple[str, int, int], list[Sale]] = defaultdict(list)
    dropped, missed, seen = [], 0, -(2**63)
    for sale in events:
        start = sale.at - sale.at % (20 * S)
        watermark = seen - DISORDER_S * S
        missed += start + 20 * S <= watermark
        if start + 20 * S + lateness <= watermark:
            dropped.append(sale.n)
        else:
            windows[sale.customer, start, start + 20 * S].append(sale)
        seen = max(seen, sale.at)

    with app.test(partitions=1, records_per_work=3) as t:
        play(t, [total], topic, events, faults)
        t.finish()
        last = {(found.key, found.start): found for found in t.read("totals", Total)}

        assert as_totals(windows) == plain(list(last.values()))
        assert missed == t.counts(total).get("late", 0)
        if late == "topic":
            assert dropped == [sale.n for sale in t.read("too-late", Sale)]
        if late != "update":
            assert len(windows) == len(t.read("totals"))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(sales(), faults, st.sampled_from(["sku", ALL]))
def test_rekeyed_windows(events: list[Sale], faults: list[tuple[int, str]], key: str) -> None:
    """Through a topic of their own, records of several tasks meet; none is late for the other's being ahead."""
    app = App("shop")
    topic = app.topic("sales", Sale, key="customer", time="at", disorder=f"{DISORDER_S}s")

    @app.window(topic, key=key, tumbling="20s", to="totals")
    def total(window: Window, sales: list[Sale]) -> Total:
        key = window.key if isinstance(window.key, str) else window.key.decode()
        return Total(key, window.start_ns, window.end_ns, sum(sale.amount for sale in sales), [])

    windows: Counter[tuple[str, int, int]] = Counter()
    for sale in events:
        start = sale.at - sale.at % (20 * S)
        windows["" if key == ALL else sale.sku, start, start + 20 * S] += sale.amount

    with app.test(records_per_work=3) as t:
        play(t, [total], topic, events, faults)
        t.finish()

        assert windows == {(f.key, f.start, f.end): f.amount for f in t.read("totals", Total)}
        assert len(windows) == len(t.read("totals"))
        assert "late" not in t.counts(total)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sales(), sales(), faults, st.sampled_from([0, 5, 40]))
def test_interval_join(left: list[Sale], right: list[Sale], faults: list[tuple[int, str]], within: int) -> None:
    """Each pair of one key within the interval, once, however the two sides come in."""
    app = App("shop")
    sales_topic = app.topic("sales", Sale, key="customer", time="at", disorder=f"{DISORDER_S}s")
    returns = app.topic("returns", Sale, key="customer", time="at", disorder=f"{DISORDER_S}s")

    @app.join(sales_topic, returns, within=f"{within}s" if within else "1ns", to="pairs")
    def pair(sale: Sale, back: Sale) -> dict[str, int]:
        return {"sale": sale.n, "back": back.n}

    expected = Counter(
        (a.n, b.n) for a in left for b in right if a.customer == b.customer and abs(a.at - b.at) <= within * S
    )
    with app.test(records_per_work=3) as t:
        for first in range(0, 40, 10):
            play(t, [pair], sales_topic, left[first : first + 10], faults[first // 10 :])
            play(t, [pair], returns, right[first : first + 10], [])

        assert expected == Counter((p["sale"], p["back"]) for p in t.read("pairs"))
        t.finish()
        assert not any(task.timers for task in t._tasks_of(pair))
        assert not any(store == "~pairs" for task in t._tasks_of(pair) for store, _ in task.store)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(sales(), faults)
def test_table_join(events: list[Sale], faults: list[tuple[int, str]]) -> None:
    """A table gives the newest value of the key: here it is whole before the stream comes."""
    app = App("shop")
    topic = app.topic("sales", Sale, key="customer")
    cities = app.table("home-cities", str)

    @app.processor(topic, to="where")
    def where(sale: Sale, home_cities: Table[str]) -> str:
        return f"{sale.n} {home_cities.get(default='nowhere')}"

    with app.test(records_per_work=3) as t:
        for customer, city in (("a", "Rome"), ("b", "Oslo"), ("b", "Bern"), ("c", "Lima")):
            t.send(cities, city, key=customer)
        t.delete(cities, "c")
        t.settle()
        play(t, [where], topic, events, faults)

        homes = {"a": "Rome", "b": "Bern", "c": "nowhere"}
        assert sorted(f"{s.n} {homes[s.customer]}" for s in events) == sorted(t.read("where"))
