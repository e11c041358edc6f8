"""What the retailer's app has to come to, computed from the rows by plain loops: nothing of riverrun is used here."""

import datetime as dt
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from examples.retail.purchases import Row

Events = Sequence[Mapping[str, object]]
"""What a topic holds, decoded, those of one key in their order."""


def stock(rows: Iterable[Row]) -> dict[str, list[int]]:
    """The quantities that were sold of each product, in any order."""
    sold = defaultdict(list)
    for row in rows:
        sold[row.sku].append(row.quantity)
    return {sku: sorted(quantities) for sku, quantities in sold.items()}


def offers(rows: Iterable[Row]) -> dict[str, list[list[str]]]:
    """The offers to each customer: the last five products, the newest first, whenever one is bought again."""
    recent: dict[str, list[str]] = {}
    bought = set()
    made = defaultdict(list)
    for row in rows:
        skus = recent.setdefault(row.customer_id, [])
        if row.sku in skus:
            skus.remove(row.sku)
        skus.insert(0, row.sku)
        del skus[5:]
        if (row.customer_id, row.sku) in bought:
            made[row.customer_id].append(list(skus))
        bought.add((row.customer_id, row.sku))
    return dict(made)


def alerts(rows: Iterable[Row]) -> dict[str, list[Decimal]]:
    """The alerts about each customer: more than 400 dollars within a week of the first purchase of a run."""
    began: dict[str, dt.date] = {}
    spent: dict[str, Decimal] = {}
    made = defaultdict(list)
    for row in rows:
        day = dt.date.fromisoformat(row.date)
        if row.customer_id not in began or day >= began[row.customer_id] + dt.timedelta(days=7):
            began[row.customer_id], spent[row.customer_id] = day, Decimal(0)
        before = spent[row.customer_id]
        after = spent[row.customer_id] = before + Decimal(row.amount_usd)
        if before <= 400 < after:
            made[row.customer_id].append(after)
    return dict(made)


def days(rows: Iterable[Row]) -> dict[str, tuple[int, int, Decimal]]:
    """Purchases, quantity and amount of each day."""
    totals: dict[str, tuple[int, int, Decimal]] = {}
    for row in rows:
        purchases, quantity, amount = totals.get(row.date, (0, 0, Decimal(0)))
        totals[row.date] = purchases + 1, quantity + row.quantity, amount + Decimal(row.amount_usd)
    return totals


# --- the same of what was read, so that they can be compared


def stock_read(events: Events) -> dict[str, list[int]]:
    """By how much each product's total rose, event by event; a total that counts something twice, or not, differs."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0])
    for event in events:
        totals[str(event["sku"])].append(_whole(event["sold"]))
    return {sku: sorted(b - a for a, b in itertools.pairwise(sold)) for sku, sold in totals.items()}


def offers_read(events: Events) -> dict[str, list[object]]:
    """The offers to each customer."""
    found = defaultdict(list)
    for event in events:
        found[str(event["customer_id"])].append(event["skus"])
    return dict(found)


def alerts_read(events: Events) -> dict[str, list[Decimal]]:
    """The alerts about each customer."""
    found = defaultdict(list)
    for event in events:
        found[str(event["customer_id"])].append(Decimal(str(event["amount_usd"])))
    return dict(found)


def days_read(events: Events) -> dict[str, tuple[int, int, Decimal]]:
    """Each day; what comes again has a name that no day has, so it differs."""
    found: dict[str, tuple[int, int, Decimal]] = {}
    for event in events:
        day = str(event["day"])
        if day in found:
            day = f"{day}, again"
        found[day] = _whole(event["purchases"]), _whole(event["quantity"]), Decimal(str(event["amount_usd"]))
    return found


def decoded(values: Iterable[bytes]) -> Events:
    """JSON."""
    return [json.loads(value) for value in values]


def _whole(number: object) -> int:
    assert isinstance(number, int)
    return number


def unlike(found: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    """What is not there, not as it should be, or there for nothing; by its key."""
    keys = sorted({*found, *expected})
    return [
        f"{key}: {found.get(key)} instead of {expected.get(key)}" for key in keys if found.get(key) != expected.get(key)
    ]


def counted(lists: Mapping[str, Sequence[object]]) -> int:
    """How many there are in all."""
    return sum(map(len, lists.values()))
