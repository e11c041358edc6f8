"""What is said of a record that user code raises for, and what it is given when it is tried again."""

import contextlib
import dataclasses
import datetime as dt
from collections import Counter

import msgspec
import pytest

from cluster.errors import ProcessorFailed
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import State, Table
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.windows import Window
from cluster.processing.work import TimerClock


class Order(Event):
    """An order."""

    n: int
    who: str
    amount: int = 1


def test_what_is_told_of_an_error_is_bounded() -> None:
    """Some exceptions hold all that there was; a dead letter is not larger than its topic takes for that."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, on_error=dead_letter("dead"))
    def work(order: Order) -> None:
        raise ValueError(str(order.n) * 10_000_000)

    with app.test() as t:
        t.send(orders, Order(1, "a"))
        (letter,) = t.records("dead")
        assert sum(len(header.value) for header in letter.headers) < 20_000
        assert {h.name: h.value for h in letter.headers}["rr-error"].startswith(b"ValueError: 111")


def test_a_timer_that_new_code_does_not_have_is_named() -> None:
    """It was set by earlier code; the task stops, as at every timer that fails, and says what it wants."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders)
    def work(order: Order, ctx: Ctx) -> None:
        ctx.timer("remind", at=order.n)

    @work.timer("remind")
    def remind() -> None:
        """Was there."""

    with pytest.raises(ProcessorFailed, match=r"the code has no function for timer 'remind' any more: ") as caught:  # noqa: PT012, SIM117
        with app.test() as t:
            (task,) = {task for task in t._tasks_of(work) if task._task == 1}
            task.timers[b"a", "remind"] = (0, TimerClock.PROCESSING)
            work._timers.clear()
            (task.stage,) = work.stages
            task._runner = task._new_runner()
    assert "remind" == caught.value.metadata["timer"]


@pytest.mark.parametrize("at", [1.5, dt.date(2026, 1, 1), "noon", True])
def test_a_timer_is_set_to_a_moment(at: object) -> None:
    """Anything else is refused by name."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders)
    def work(order: Order, ctx: Ctx) -> None:
        ctx.timer("remind", at=at)  # type: ignore[arg-type]
        raise AssertionError(order.n)

    @work.timer("remind")
    def remind() -> None:
        """Never."""

    with (
        pytest.raises(ProcessorFailed, match=r"timer 'remind': `at` is .*; a datetime, or an int of ns"),
        app.test() as t,
    ):
        t.send(orders, Order(1, "a"))


class Speechless(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("policy", [stop(), dead_letter("dead")])
def test_an_exception_that_cannot_be_told_is_one_like_others(policy: OnError) -> None:
    """What becomes of its record is what `on_error` says, and at least its name is there."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, on_error=policy)
    def work(order: Order) -> None:
        if order.n == 1:
            raise Speechless

    told = contextlib.nullcontext() if policy.how != "stop" else pytest.raises(ProcessorFailed, match="Speechless: ")
    with told, app.test() as t:
        t.send(orders, Order(1, "a"))
        (letter,) = t.records("dead") if policy.how != "stop" else t.records("orders")
        assert {h.name: h.value for h in letter.headers}["rr-error"].startswith(b"Speechless: ")


def test_state_that_cannot_be_stored_is_named() -> None:
    """Whoever reads the message looks for the parameter, not at what the function returns."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="seen")
    def work(order: Order, first: State[int], many: State[dict[str, object]]) -> int:
        first.value += order.n
        many.value["it"] = object() if order.amount < 0 else 2 ** (63 * order.amount)
        return order.n

    for bad in (-1, 2):
        with (
            pytest.raises(ProcessorFailed, match=r"offset 1: TypeError: state 'many' cannot be stored: "),
            app.test() as t,
        ):
            t.send(orders, Order(1, "a"), Order(2, "a", bad))


@pytest.mark.parametrize("form", ["one", "many", "async", "join"])
def test_what_is_tried_again_is_as_it_was(form: str) -> None:
    """A function may do what it likes to its event: whoever gets it again, for it or another failed, gets it fresh."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    tries = Counter[int]()

    def double(order: Order) -> Order:
        order.amount *= 2
        tries[order.n] += 1
        if (order.n == 5 and tries[5] < 4) or order.n == 7:
            raise ValueError("not yet")
        return order

    def many(orders: list[Order]) -> list[Order]:
        return [*map(double, orders)]

    async def waited(order: Order) -> Order:
        return double(order)

    def pair(order: Order, other: Order) -> Order | None:
        return double(order) if order.n == other.n else None

    options = {"to": "seen", "on_error": dead_letter("dead", retries=3), "name": "work"}
    if form == "join":
        others = app.topic("others", Order, key="who")
        app.join(orders, others, within="1h", **options)(pair)
    else:
        others = None
        app.processor(orders, **options)({"one": double, "many": many, "async": waited}[form])

    with app.test(partitions=1) as t:
        if others is not None:
            t.send(others, *[Order(n, "a") for n in range(10)])
            t.settle()
        t.send(orders, *[Order(n, "a", 10) for n in range(10)])
        assert [(n, 20) for n in range(10) if n != 7] == [(o.n, o.amount) for o in t.read("seen", Order)]
        assert [Order(7, "a", 10)] == t.read("dead", Order)


def test_a_record_of_a_table_without_a_key_is_to_blame_alone() -> None:
    """What was deleted before it is deleted."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    last = app.table("last", Order)

    @app.processor(orders, to="seen", on_error=skip())
    def look(order: Order, last: Table[Order]) -> int:
        return last.get(default=order).n

    with app.test(partitions=1) as t:
        t.send(last, Order(1, "a"), Order(2, "b"), key="a")
        t.delete(last, "a")
        t.send(last, Order(3, "a"))
        t.send(last, Order(4, "b"), key="b")
        t.settle()
        t.send(orders, Order(7, "a"), Order(8, "b"))
        assert [7, 4] == t.read("seen")
        assert {"skipped": 1} == t.counts(look)


@pytest.mark.parametrize("form", ["state", "window", "join"])
def test_a_record_without_a_key_is_told_what_to_do(form: str) -> None:
    """Declaring a topic's key gives no key to what is published without."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    def keyed(order: Order, first: State[int]) -> int:
        return order.n + first.value

    def in_window(window: Window, orders: list[Order]) -> int:
        return len(orders) + window.start_ns

    def pair(order: Order, other: Order) -> int:
        return order.n + other.n

    if form == "state":
        app.processor(orders, to="seen")(keyed)
    elif form == "window":
        app.window(orders, tumbling="1d", to="seen")(in_window)
    else:
        app.join(orders, app.topic("others", Order, key="who"), within="1h", to="seen")(pair)
    message = (
        r"InvalidRequest: the record has no key, and .* needs one: whoever publishes gives it one, or the processor"
    )
    with pytest.raises(ProcessorFailed, match=message), app.test() as t:
        t.send("orders", msgspec.json.encode(Order(1, "a")))


def test_a_letter_of_a_table_is_a_row_again() -> None:
    """Not an event: the function that reads the table never sees it."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    prices = app.table("prices", int)
    seen: list[object] = []

    @app.processor(orders, to="seen", on_error=dead_letter("dead"))
    def look(order: Order, prices: Table[int]) -> int:
        seen.append(order)
        return prices[order.who]

    with app.test(partitions=1) as t:
        t.send(prices, b"seven", key="a")
        (letter,) = t.records("dead")
        mended = dataclasses.replace(letter, value=b"7")  # as if new code could read it
        t._topics["dead"].partitions[0][0] = mended
        t.redrive(look)
        assert {"dead_lettered": 1, "redriven": 1} == t.counts(look)
        t.send(orders, Order(1, "a"))
        assert [7] == t.read("seen")
        assert [Order(1, "a")] == seen
