"""What `peer_bytewax.py` and `peer_quix.py` share: the same filter-map as in `purchases.py`, over dicts.

Each runs in an environment of its own (`make bench-peers`): `python -m tests.bench.peer_quix FILE PASSES`, where FILE
has a JSON object on each line, and prints records per second of processor time as JSON. Neither has a broker.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEAR_USD = 660.0
Purchase = dict[str, Any]
Records = list[Purchase]


def dear(purchase: Purchase) -> dict[str, Any] | None:
    """As in `purchases.py`."""
    if purchase["amount_usd"] > DEAR_USD:
        return {"customer_id": purchase["customer_id"], "total_usd": purchase["amount_usd"] * purchase["quantity"]}
    return None


def dear_count(records: Records) -> int:
    """How many purchases pass the filter."""
    return sum(dear(record) is not None for record in records)


def measure(engine: str, works: dict[str, Callable[[Records], float]]) -> None:
    """Run the works, which give CPU seconds, and say what they came to."""
    records = [json.loads(line) for line in Path(sys.argv[1]).read_bytes().splitlines()] * int(sys.argv[2])
    print(json.dumps({f"{name}: {engine}": len(records) / work(records) for name, work in works.items()}))
