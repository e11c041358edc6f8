"""An app between two routes: each change of a row becomes the row, with how often it has changed, or a tombstone."""

from typing import Any

from cluster import App, Event, State, Tombstone


class Change(Event):
    """What the route makes of what is captured; without a row, it was deleted."""

    op: str
    id: int
    row: dict[str, Any] | None


app = App("orders-counted")
changes = app.topic("order-changes", Change, key="id")


@app.processor(changes, to="order-rows")
def count(change: Change, seen: State[int]) -> dict[str, Any] | Tombstone:
    """What the first look found has changed so often as it says; from there on each change counts once."""
    if change.op == "r" and change.row is not None:
        seen.value = change.row["changes"]
    else:
        seen.value += 1
    return Tombstone() if change.row is None else change.row | {"counted": seen.value}
