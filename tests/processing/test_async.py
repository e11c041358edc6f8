"""Async functions: bounded, ordered by key, re-sequenced."""

import asyncio

import pytest

from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.policies import dead_letter
from cluster.processing.rehearsal import CRASHES


class Order(Event):
    """An order of somebody."""

    n: int
    who: str


def test_calls_are_bounded_and_of_one_key_one_after_another() -> None:
    """Four at once, never two of one key; what comes out is in the order of what came in."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    now: list[str] = []
    peaks: list[int] = []

    @app.processor(orders, to="done", concurrency=4)
    async def ask(order: Order, seen: State[list[int]], ctx: Ctx) -> str:
        assert order.who not in now
        now.append(order.who)
        peaks.append(len(now))
        for _ in range(1 + (7 - order.n) % 5):
            await asyncio.sleep(0)
        seen.value.append(order.n)
        now.remove(order.who)
        return f"{order.n} {ctx.key} {ctx.position.offset} {len(seen.value)}"

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "abcdefgh"[n % 8]) for n in range(40)])

        assert [f"{n} {'abcdefgh'[n % 8]} {n} {n // 8 + 1}" for n in range(40)] == t.read("done")
        assert [3, 11, 19, 27, 35] == t.state(ask, "d")
    assert max(peaks) == 4


def test_one_that_raises_is_found_and_the_others_count_once() -> None:
    """The failed record goes to the dead letters; state of the calls beside it is not doubled by the second attempt."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="done", concurrency=8, on_error=dead_letter("dead", retries=1))
    async def ask(order: Order, count: State[int]) -> int:
        count.value += 1
        await asyncio.sleep(0)
        if order.n == 5:
            raise ConnectionError("no answer")
        return order.n

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "ab"[n % 2]) for n in range(10)])

        assert [0, 1, 2, 3, 4, 6, 7, 8, 9] == t.read("done")
        assert [Order(5, "b")] == t.read("dead", Order)
        assert (5, 4) == (t.state(ask, "a"), t.state(ask, "b"))


@pytest.mark.parametrize("how", ["raise", "cancel"])
def test_a_call_that_is_cancelled_has_failed(how: str) -> None:
    """Its record goes to the dead letters, and those behind it of its key are not passed over."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="done", concurrency=8, on_error=dead_letter("dead", retries=1))
    async def ask(order: Order, count: State[int]) -> int:
        count.value += 1
        if order.n == 4 and how == "raise":
            raise asyncio.CancelledError
        if order.n == 4:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        return order.n

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "ab"[n % 2]) for n in range(10)])

        assert [0, 1, 2, 3, 5, 6, 7, 8, 9] == t.read("done")
        assert [Order(4, "a")] == t.read("dead", Order)
        assert (4, 5) == (t.state(ask, "a"), t.state(ask, "b"))


def test_what_one_call_has_made_others_may_use() -> None:
    """A client, or a lock, is of one event loop: all tasks of a process have the same, whatever crashes."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    loops: set[asyncio.AbstractEventLoop] = set()

    @app.processor(orders, to="done")
    async def ask(order: Order) -> int:
        loops.add(asyncio.get_running_loop())
        return order.n

    @app.processor(orders, to="done-too")
    async def ask_too(order: Order) -> int:
        loops.add(asyncio.get_running_loop())
        return order.n

    with app.test(partitions=3) as t:
        for before in CRASHES:
            t.crash(ask, before=before)
            t.send(orders, *[Order(n, "abcdefgh"[n % 8]) for n in range(8)])
            t.settle()
        assert 24 == len(t.read("done"))
        (loop,) = loops
        assert not loop.is_closed()
    assert loop.is_closed()


async def test_a_rehearsal_where_a_loop_is_running_already() -> None:
    """In a notebook, or an async test."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="done")
    async def ask(order: Order) -> int:
        await asyncio.sleep(0)
        return order.n

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "a") for n in range(3)])
        assert [0, 1, 2] == t.read("done")
