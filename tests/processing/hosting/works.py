"""Works of orders for hosts, state for them to read, and what came of it."""

import json
from collections.abc import Sequence
from pathlib import Path

from cluster.config import ProcessingOptions
from cluster.processing.hosts import CodeFile, Seat
from cluster.processing.work import Batch, Effects, Work
from cluster.records import Record
from cluster.wire.records import encode_records

SHOP = Path(__file__).parent.parent / "apps" / "shop.py"
OPTIONS = ProcessingOptions(restart_s_min=0.05, restart_s_max=5.0, work_s_max=20.0)


def shop() -> CodeFile:
    """The app as it is deployed."""
    return CodeFile(name="shop.py", app="", content=SHOP.read_bytes())


def source(text: str, name: str = "mine.py", app: str = "") -> CodeFile:
    """A file with an app `app`, a topic `orders` of type Order (n, who), and this text."""
    head = """
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
app = App("mine")
class Order(Event):
    n: int
    who: str = "a"
orders = app.topic("orders", Order, key="who")
"""
    return CodeFile(name=name, app=app, content=(head + text).encode())


def seat(stage: str, version: int = 1) -> Seat:
    """The only task of a stage."""
    return Seat(stage=stage, version=version, task=0, tasks=1, partitions=1)


def work(n: int, *orders: int, key: str = "a") -> Work:
    """Orders of these numbers, all of one customer."""
    return work_of(n, [json.dumps({"n": order, "who": key}).encode() for order in orders], key=key)


def work_of(n: int, values: Sequence[bytes], key: str = "a") -> Work:
    """Records with these values."""
    payload = encode_records([Record(value=value, key=key.encode(), timestamp_ns=1) for value in values])
    batch = Batch(
        input=0,
        partition=0,
        payload=payload,
        codec=0,
        uncompressed_size=len(payload),
        record_count=len(values),
        base_offset=0,
        begin=0,
        end=len(values),
    )
    return Work(task=0, n=n, now_ns=n, batches=[batch], fired=[], idle=[])


def values(effects: Effects) -> list[int]:
    """What was put out."""
    return [int(output.value) for output in effects.outputs]


class Kept:
    """Committed state that is read by waiting, and how it was asked for."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, bytes], bytes] = {}
        self.asked: list[tuple[str, bytes]] = []

    async def read(self, places: Sequence[tuple[str, bytes]]) -> list[bytes | None]:
        """See ReadState."""
        self.asked += places
        return [self.values.get(place) for place in places]

    def commit(self, effects: Effects) -> None:
        """What was changed is committed."""
        for change in effects.state:
            if change.value is None:
                self.values.pop((change.store, change.key), None)
            else:
                self.values[change.store, change.key] = change.value
