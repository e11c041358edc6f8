"""An app with one processor for each thing that a host has to get right; some orders are more than it can bear."""

import asyncio
import os
import time

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State
from cluster.processing.policies import dead_letter

DEADLY = -1
"""The process ends."""
ENDLESS = -2
"""The process hangs."""
BAD = -3
"""The function raises."""

app = App("shop")


class Order(Event):
    """An order."""

    n: int
    who: str = "a"


orders = app.topic("orders", Order, key="who")


def look(order: Order) -> None:
    """What comes of orders that cannot be borne."""
    if order.n == DEADLY:
        os._exit(3)
    if order.n == ENDLESS:
        time.sleep(3600)
    if order.n == BAD:
        raise ValueError("a bad order")


@app.processor(orders, to="totals")
def total(order: Order, sum_: State[int]) -> int:
    """The sum of each customer's orders."""
    sum_.value += order.n
    look(order)
    return sum_.value


@app.processor(orders, to="seen")
def seen(order: Order, by_number: MapState[int, int]) -> int:
    """How often each number was ordered."""
    by_number[order.n] = by_number.get(order.n, 0) + 1
    return by_number[order.n]


@app.processor(orders, to="slow", concurrency=10)
async def slowly(order: Order, sum_: State[int]) -> int:
    """The sum, with pauses."""
    await asyncio.sleep(0)
    sum_.value += order.n
    return sum_.value


@app.processor(orders, to="good", on_error=dead_letter(retries=0), version=2)
def careful(order: Order) -> int:
    """What is bad is put aside."""
    look(order)
    return order.n


@app.processor(orders, to="persistent", on_error=dead_letter(retries=1, backoff="1s"))
def patient(order: Order, sum_: State[int]) -> int:
    """What is bad is tried once more, later."""
    sum_.value += order.n
    look(order)
    return sum_.value
