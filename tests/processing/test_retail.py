"""The retail example against a few lines of plain Python over the same rows, with crashes on the way."""

import csv
import datetime as dt
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from examples.retail import app as retail
from examples.retail.app import Alert, DailySales, Purchase, Spend, Stock, app

ROWS = 600
CSV = Path(retail.__file__).parent / "purchases.csv"


def rows() -> list[Purchase]:
    """Every 40th purchase of the first ones, and all of one who buys much."""
    made = []
    with CSV.open() as file:
        for n, row in enumerate(csv.DictReader(file)):
            if n % 40 == 0 or row["customer_id"] == "07592":
                sku = f"cd-{int(row['customer_id']) % 7}-{min(int(row['quantity']), 3)}"
                day, amount = dt.date.fromisoformat(row["date"]), Decimal(row["amount_usd"])
                made.append(Purchase(day, row["customer_id"], sku, int(row["quantity"]), amount))
    return made[:ROWS]


@pytest.mark.slow
@pytest.mark.parametrize("crash", ["", "commit", "ship", "receipt"])
def test_every_total_is_that_of_plain_python(crash: str) -> None:
    """Stock, alerts and daily sales of the same purchases, whoever dies on the way."""
    bought = rows()
    sold, days = Counter[str](), defaultdict[dt.date, list[Purchase]](list)
    for p in bought:
        sold[p.sku] += p.quantity
        days[p.date].append(p)

    with app.test(partitions=3, records_per_work=50) as t:
        for first in range(0, len(bought), 100):
            t.send(retail.purchases, *bought[first : first + 100])
            for processor in app.processors.values() if crash else ():
                t.crash(processor, before=crash)
            t.settle()
        t.finish()

        stock = {s.sku: s.sold for s in t.read(retail.stock)}
        assert dict(sold) == stock
        assert all(a.sold < b.sold for sku in sold for a, b in pairwise(_of(t.read(retail.stock), sku)))
        assert len(bought) == len(t.read(retail.stock))
        assert [
            DailySales(
                day,
                len(inside),
                sum(p.quantity for p in inside),
                sum((p.amount_usd for p in inside), Decimal(0)).quantize(Decimal("0.01")),
            )
            for day, inside in sorted(days.items())
        ] == t.read(retail.daily_sales)
        assert "late" not in t.counts(retail.daily)


def _of(stock: list[Stock], sku: str) -> list[Stock]:
    return [s for s in stock if s.sku == sku]


def test_a_run_of_purchases_is_forgotten_after_a_week() -> None:
    """More than the usual within a week is an alert, once; the same over two weeks is none; a crash changes nothing."""
    day = dt.date(1997, 3, 1)
    with app.test() as t:
        t.send(retail.purchases, *[Purchase(day, "c1", f"s{n}", 1, Decimal(150)) for n in range(4)])
        t.crash(retail.fraud, before="commit")

        assert [Alert("c1", Decimal(450))] == t.read(retail.alerts)
        assert Spend(day, 4, Decimal(600)) == t.state(retail.fraud, "c1")
        t.advance("7d")
        assert t.state(retail.fraud, "c1") is None
        t.send(retail.purchases, Purchase(day + dt.timedelta(9), "c1", "s0", 1, Decimal(150)))
        assert 1 == len(t.read(retail.alerts))


def test_offers_are_of_what_was_bought_last() -> None:
    """A product that is bought again brings an offer, the newest first."""
    day = dt.date(1997, 3, 1)
    with app.test() as t:
        t.send(retail.purchases, *[Purchase(day, "c1", sku, 1, Decimal(9)) for sku in "abcb"])

        assert [["b", "c", "a"]] == [offer.skus for offer in t.read(retail.offers)]
