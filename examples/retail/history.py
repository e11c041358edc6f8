"""A bounded job: stock and daily sales once more, over all purchases that were appended before a moment.

It has a name of its own, so it begins at the beginning and has positions, state and topics of its own; the app in
`app.py` goes on beside it. `until` is the cluster's time, not that of the events: what was appended from then on is not
read. When the rest is done, every day is over, and `riverrun app describe retail-history` says finished.
"""

import datetime as dt
from decimal import Decimal

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.processor import ALL
from cluster.processing.windows import Window

UNTIL = "2027-01-01T00:00:00Z"
CENT = Decimal("0.01")

app = App("retail-history")


class Purchase(Event):
    """One purchase, as in `app.py`."""

    date: dt.date
    customer_id: str
    sku: str
    quantity: int
    amount_usd: Decimal


class Stock(Event):
    """How many of a product were sold since the beginning."""

    sku: str
    sold: int


class DailySales(Event):
    """What a day brought."""

    day: dt.date
    purchases: int
    quantity: int
    amount_usd: Decimal


purchases = app.topic("purchases", Purchase, key="customer_id", time="date")
stock = app.topic("history-stock", Stock, key="sku")
daily_sales = app.topic("history-daily-sales", DailySales)


@app.processor(purchases, key="sku", to=stock, until=UNTIL)
def inventory(p: Purchase, sold: State[int]) -> Stock:
    """Count what is sold of each product."""
    sold.value += p.quantity
    return Stock(p.sku, sold.value)


@app.window(purchases, key=ALL, tumbling="1d", to=daily_sales, until=UNTIL)
def daily(window: Window, purchases: list[Purchase]) -> DailySales:
    """What all customers bought on a day."""
    return DailySales(
        window.start.date(),
        len(purchases),
        sum(p.quantity for p in purchases),
        sum((p.amount_usd for p in purchases), Decimal(0)).quantize(CENT),
    )
