"""The rows of `purchases.csv` as purchases, and what is sent of them: JSON, as any program would write it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CSV = Path(__file__).parent / "purchases.csv"
PRODUCTS = 100


class Row(NamedTuple):
    """One purchase; `amount_usd` as it is written."""

    date: str
    customer_id: str
    sku: str
    quantity: int
    amount_usd: str

    @property
    def value(self) -> bytes:
        """The event."""
        return json.dumps(self._asdict()).encode()


def rows() -> list[Row]:
    """All of them, in the order of the file."""
    with CSV.open(newline="") as file:
        return [row_of(*fields) for fields in list(csv.reader(file))[1:]]


def row_of(date: str, customer_id: str, quantity: str, amount_usd: str) -> Row:
    """The data set says how many CDs were bought, and not which: the product is made of the customer and the size."""
    return Row(date, customer_id, sku(customer_id, int(quantity)), int(quantity), amount_usd)


def sku(customer_id: str, quantity: int) -> str:
    """One of some hundred products: whoever buys as many again buys the same."""
    return f"cd-{int(customer_id) % PRODUCTS:02}-{'abc'[min(quantity, 3) - 1]}"


def row_from(value: bytes) -> Row:
    """The inverse of `Row.value`."""
    return Row(**json.loads(value))


def count_of(purchases: Sequence[Row]) -> str:
    """For people."""
    return f"{len(purchases):,} purchases"
