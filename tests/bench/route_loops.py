"""A route of filter and map beside the same comprehension in plain Python, over the same decoded records."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from cluster.processing.routes.expressions import parsed
from cluster.processing.routes.program import Plan, Program

RECORDS = 3_000
RECORDS_MADE = 1_000
KIND = "filter and map, of one core"
BY_HAND = "a comprehension over decoded records"
ROUTE = "a route over the same"


def decoded() -> list[dict[str, Any]]:
    """Purchases with eight fields, as JSON gives them; a third of them passes."""
    return [
        {
            "order_id": f"o{number}",
            "customer": f"c{number % 997}",
            "store": f"s{number % 17}",
            "sku": f"k{number % 311}",
            "quantity": 1 + number % 5,
            "price": 10.0 + number % 90,
            "region": ("eu", "us", "asia")[number % 3],
            "ordered_at": "2026-01-01T00:00:00Z",
        }
        for number in range(RECORDS)
    ]


def dear_by_hand(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Plain Python."""
    return [
        {
            "order": record["order_id"],
            "customer": record["customer"],
            "amount": record["quantity"] * record["price"],
            "dear": record["price"] > 50,
        }
        for record in records
        if record["region"] == "eu" and record["quantity"] * record["price"] > 0
    ]


def dear_route() -> Plan:
    """The same as a route says it."""
    made = {"order": "order_id", "customer": "customer", "amount": "quantity * price", "dear": "price > 50"}
    return Plan(
        where=parsed("region == 'eu' and quantity * price > 0"),
        map={name: parsed(source) for name, source in made.items()},
    )


def measured(passes: int = 50) -> dict[str, float]:
    """Records per second of processor time, for each of the two; both are run in turns."""
    records = decoded()
    route = Program(dear_route())
    ways: dict[str, Callable[[list[dict[str, Any]]], object]] = {BY_HAND: dear_by_hand, ROUTE: route.run}
    spent = dict.fromkeys(ways, 0.0)
    for _ in range(passes):
        for name, way in ways.items():
            begun = time.process_time()
            way(records)
            spent[name] += time.process_time() - begun
    return {name: RECORDS * passes / seconds for name, seconds in spent.items()}
