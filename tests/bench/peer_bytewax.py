"""Bytewax: its TestingSource in batches of 1,000, without recovery. See `peers.py`."""

import time
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from tests.bench.peers import Purchase, Records, dear, dear_count, measure

BATCH = 1_000


def filter_map(records: Records) -> float:
    """CPU seconds."""
    out: list[Any] = []
    flow = Dataflow("filter-map")
    stream = op.input("in", flow, TestingSource(records, batch_size=BATCH))
    op.output("out", op.filter_map("dear", stream, dear), TestingSink(out))
    begin_s = time.process_time()
    run_main(flow)
    spent_s = time.process_time() - begin_s
    assert len(out) == dear_count(records)
    return spent_s


def count(records: Records) -> float:
    """CPU seconds. What a mapper returns beside its state is the number that is right in the end."""
    seen: dict[str, int] = {}

    def add(total: int | None, purchase: Purchase) -> tuple[int, tuple[()]]:
        total = (total or 0) + 1
        seen[purchase["customer_id"]] = total
        return total, ()

    flow = Dataflow("count")
    stream = op.input("in", flow, TestingSource(records, batch_size=BATCH))
    keyed = op.key_on("by", stream, lambda purchase: purchase["customer_id"])
    op.output("out", op.stateful_flat_map("count", keyed, add), TestingSink([]))
    begin_s = time.process_time()
    run_main(flow)
    spent_s = time.process_time() - begin_s
    assert sum(seen.values()) == len(records)
    return spent_s


if __name__ == "__main__":
    measure("Bytewax", {"filter-map": filter_map, "keyed count": count})
