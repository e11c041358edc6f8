"""Times that no event can have: their records are poison, and neither windows, timers nor the node come to harm."""

import datetime as dt

import pytest

from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.policies import OnError, dead_letter, skip
from cluster.processing.processor import Processor
from cluster.processing.windows import Window

FAR = ["1066-10-14", "1699-12-31", "2200-01-02", "2300-01-01", "9999-12-31"]
NEAR = ["1700-01-01", "1969-12-31", "2026-11-27", "2200-01-01"]


class Visit(Event):
    """Somebody came, on a day."""

    who: str
    day: dt.date


def visit(day: str) -> bytes:
    """As a client would send it."""
    return b'{"who":"a","day":"%s"}' % day.encode()


def counting(policy: OnError) -> tuple[App, Processor]:
    """An app that passes visits on, and counts those of each day."""
    app = App("house")
    visits = app.topic("visits", Visit, key="who", time="day")

    @app.processor(visits, to="seen", on_error=policy)
    def look(v: Visit) -> Visit:
        return v

    @app.window(visits, tumbling="1d", to="days", on_error=policy)
    def days(window: Window, visits: list[Visit]) -> list[str]:
        return [f"{window.start.date()}: {len(visits)}"]

    return app, look


@pytest.mark.parametrize("day", FAR)
def test_an_event_of_a_time_that_is_none_is_poison(day: str) -> None:
    """It is put aside with its reason, and closes no windows: what comes after it is not late."""
    app, look = counting(dead_letter(retries=0))
    with app.test(partitions=1) as t:
        t.send("visits", visit("2026-11-27"), visit(day), visit("2026-11-27"), visit("2026-11-30"), key="a")
        assert ["2026-11-27", "2026-11-27", "2026-11-30"] == [str(v.day) for v in t.read("seen", Visit)]
        assert {"dead_lettered": 1} == t.counts(look)
        (letter,) = t.records("house.look.dead")
        assert b"is not between the years 1700 and 2200" in {h.name: h.value for h in letter.headers}["rr-error"]
        assert ["2026-11-27: 2"] == t.read("days")[:1]


@pytest.mark.parametrize("day", NEAR)
def test_other_times_are_as_good_as_any(day: str) -> None:
    """Up to the last day that there is."""
    app, look = counting(skip())
    with app.test(partitions=1) as t:
        t.send("visits", visit(day), key="a")
        assert 1 == len(t.read("seen"))
        assert {} == t.counts(look)


@pytest.mark.parametrize("at_ns", [2**63 - 1, 2**63, 2**64, -(2**63), -(2**80)])
def test_a_timer_that_does_not_fit_is_the_records_fault(at_ns: int) -> None:
    """The function raises where it sets it."""
    app = App("house")
    visits = app.topic("visits", Visit, key="who")

    @app.processor(visits, to="seen", on_error=skip())
    def look(v: Visit, ctx: Ctx) -> Visit:
        ctx.timer("later", at=at_ns)
        return v

    @look.timer("later")
    def later() -> None:
        raise AssertionError("it is never due")

    with app.test(partitions=1) as t:
        t.send("visits", visit("2026-11-27"), key="a")
        assert {"skipped": 1} == t.counts(look)


def test_a_producers_clock_that_is_centuries_ahead() -> None:
    """The same holds for the records' own times."""
    app = App("house")
    visits = app.topic("visits", Visit, key="who")

    @app.window(visits, tumbling="1d", to="days", on_error=skip())
    def days(window: Window, visits: list[Visit]) -> list[str]:
        return [f"{window.start.date()}: {len(visits)}"]

    with app.test(partitions=1) as t:
        for year in (2026, 2262, 2026):
            t.send("visits", visit("2026-11-27"), key="a", time=dt.datetime(year, 1, 1, tzinfo=dt.UTC))
        t.send("visits", visit("2026-11-27"), key="a", time=dt.datetime(2026, 1, 3, tzinfo=dt.UTC))
        assert ["2026-01-01: 2"] == t.read("days")[:1]
        assert {"skipped": 1} == t.counts(days)


def test_what_does_not_decode_has_no_time() -> None:
    """Of a topic whose time is a field: when it was published says nothing, so what comes after it is not late."""
    app, look = counting(skip())
    with app.test(partitions=1, records_per_work=1) as t:
        t.send("visits", visit("2020-11-27"), b"rubbish", visit("2020-11-27"), visit("2020-11-30"), key="a")
        assert ["2020-11-27: 2"] == t.read("days")[:1]
        assert {"skipped": 1} == t.counts(look)
