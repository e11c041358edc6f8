"""The app that the benchmark runs: a filter-map without state, and a count by key."""

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State

DEAR_USD = 660.0
"""About a third of the purchases are above it."""


class Purchase(Event):
    """Some 150 bytes of JSON."""

    order_id: str
    customer_id: str
    sku: str
    quantity: int
    amount_usd: float
    region: str
    channel: str
    date: str


class Total(Event):
    """What a dear purchase comes to."""

    customer_id: str
    total_usd: float


app = App("bench")
purchases = app.topic("purchases", Purchase, key="customer_id")


@app.processor(purchases, to="totals")
def dear(purchase: Purchase) -> Total | None:
    """The filter-map."""
    if purchase.amount_usd > DEAR_USD:
        return Total(purchase.customer_id, purchase.amount_usd * purchase.quantity)
    return None


@app.processor(purchases)
def count(_: Purchase, seen: State[int]) -> None:
    """The keyed count."""
    seen.value += 1
