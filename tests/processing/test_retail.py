"""The retail example against plain loops over the same rows (`examples/retail/truth.py`), with crashes on the way."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from examples.retail import app as retail
from examples.retail.app import Alert, Purchase, Spend, app
from examples.retail.outputs import findings
from examples.retail.purchases import Row, rows

ROWS = 600
DEAR = Decimal(250)


def some() -> list[Row]:
    """Every 40th purchase of the first ones, and all of some who buy much: some of these bring alerts."""
    much = {row.customer_id for row in rows() if Decimal(row.amount_usd) > DEAR}
    return [row for n, row in enumerate(rows()) if n % 40 == 0 or row.customer_id in much][:ROWS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crash", "records_per_work"), [("", 7), ("", 1000), ("commit", 50), ("ship", 50), ("receipt", 50)]
)
def test_every_total_is_that_of_plain_python(crash: str, records_per_work: int) -> None:
    """Stock, offers, alerts and daily sales of the same purchases, whoever dies on the way, however works are cut."""
    bought = some()
    with app.test(partitions=3, records_per_work=records_per_work) as t:
        for first in range(0, len(bought), 100):
            t.send(
                retail.purchases,
                *[msgspec.json.decode(row.value, type=Purchase) for row in bought[first : first + 100]],
            )
            for processor in app.processors.values() if crash else ():
                t.crash(processor, before=crash)
            t.settle()
        t.finish()
        outputs = {
            topic.name: [msgspec.json.encode(event) for event in t.read(topic)]
            for topic in (retail.stock, retail.offers, retail.alerts, retail.daily_sales)
        }
        found = findings(outputs, bought, bought)

        assert [] == [fault for finding in found for fault in finding.faults]
        assert all(outputs.values()), "each of them has something to say"
        assert "late" not in t.counts(retail.daily)


@pytest.mark.slow
@pytest.mark.timeout(180)
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
