"""The retailer's app: three processors and a window on one topic of purchases (`purchases.csv`).

Stock is kept by product, so purchases go through a topic of their own first; the data set has no products, so a
purchase's is made of its customer and its size. Recommendations and alerts are by customer. Daily sales are for
everybody.
"""

import datetime as dt
from decimal import Decimal

from cluster import ALL, App, Ctx, Event, MapState, State, Window, dead_letter

RECENT_MAX = 5
"""Products that are remembered of a customer."""
ALERT_USD = Decimal(400)
"""So much within `ALERT_DAYS` looks like a stolen card."""
ALERT_DAYS = 7
CENT = Decimal("0.01")

app = App("retail")


class Purchase(Event):
    """One purchase: a row of `purchases.csv`, with its product."""

    date: dt.date
    customer_id: str
    sku: str
    quantity: int
    amount_usd: Decimal


class Stock(Event):
    """How many of a product were sold since the beginning."""

    sku: str
    sold: int


class Offer(Event):
    """What a customer may like: the products bought last, the newest first."""

    customer_id: str
    skus: list[str]


class Spend(Event):
    """What a customer has spent in a run of purchases, and when its first one was."""

    since: dt.date = dt.date.min
    purchases: int = 0
    amount_usd: Decimal = Decimal(0)


class Alert(Event):
    """A customer spends more than is usual."""

    customer_id: str
    amount_usd: Decimal


class DailySales(Event):
    """What a day brought."""

    day: dt.date
    purchases: int
    quantity: int
    amount_usd: Decimal


purchases = app.topic("purchases", Purchase, key="customer_id", time="date")
stock = app.topic("stock", Stock, key="sku")
offers = app.topic("offers", Offer, key="customer_id")
alerts = app.topic("alerts", Alert, key="customer_id")
daily_sales = app.topic("daily-sales", DailySales)


@app.processor(purchases, key="sku", to=stock)
def inventory(p: Purchase, sold: State[int]) -> Stock:
    """Count what is sold of each product."""
    sold.value += p.quantity
    return Stock(p.sku, sold.value)


@app.processor(purchases, to=offers)
def recommend(p: Purchase, recent: State[list[str]], times: MapState[str, int]) -> Offer | None:
    """Offer what was bought last, when a product is bought for the second time or more."""
    times[p.sku] = times.get(p.sku, 0) + 1
    recent.value = [p.sku, *(sku for sku in recent.value if sku != p.sku)][:RECENT_MAX]
    return Offer(p.customer_id, recent.value) if times[p.sku] > 1 else None


@app.processor(purchases, to=alerts, on_error=dead_letter(retries=3, park_key=True))
def fraud(p: Purchase, spend: State[Spend], ctx: Ctx) -> Alert | None:
    """Alert when a run of purchases comes to more than is usual; a run ends a week after its first.

    The purchases' own dates say when: a timer fires some time after, between two works, and only tidies up.
    """
    if p.date >= spend.value.since + dt.timedelta(days=ALERT_DAYS):
        spend.value = Spend(since=p.date)
        ctx.timer("forget", after=f"{ALERT_DAYS}d")
    before = spend.value.amount_usd
    spend.value.purchases += 1
    spend.value.amount_usd += p.amount_usd
    return Alert(p.customer_id, spend.value.amount_usd) if before <= ALERT_USD < spend.value.amount_usd else None


@fraud.timer("forget")
def forget(spend: State[Spend]) -> None:
    """The week is over."""
    spend.clear()


@app.window(purchases, key=ALL, tumbling="1d", to=daily_sales)
def daily(window: Window, purchases: list[Purchase]) -> DailySales:
    """What all customers bought on a day."""
    return DailySales(
        window.start.date(),
        len(purchases),
        sum(p.quantity for p in purchases),
        sum((p.amount_usd for p in purchases), Decimal(0)).quantize(CENT),
    )
