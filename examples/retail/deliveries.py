"""Where `routes.toml` takes alerts and daily sales to, and whether what is there is what has to be there."""

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from examples.retail import truth
from examples.retail.outputs import Finding
from examples.retail.purchases import Row
from examples.retail.receiver import Receiver

ROUTES = Path(__file__).parent / "routes.toml"
ENVIRONMENT = "RETAIL_*"
"""Variables of these names are in the nodes' environment, and routes get them."""


class Destinations:
    """A folder for the database and the files, and somebody who takes webhooks."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.database = folder / "retail.db"
        self.receiver = receiver
        self._lines = folder / "daily-sales"

    def files(self) -> list[Path]:
        """Those of daily sales."""
        return sorted(self._lines.glob("*.jsonl"))

    def findings(self, rows: Sequence[Row], closed: Sequence[Row]) -> list[Finding]:
        """All that was delivered beside all that has to be; `closed`: the purchases of the days that are over."""
        raised, sales = truth.alerts(rows), truth.days(closed)
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            alerts = _rows(database, "SELECT customer, usd FROM alerts ORDER BY rowid")
            days = _rows(database, "SELECT day, purchases, quantity, amount_usd FROM daily_sales")
        files = self.files()
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        told, faults = self._told()
        return [
            Finding(
                "SQLite",
                f"{len(alerts):,} rows of alerts, each customer's in their order",
                truth.unlike(_alerts_read(alerts), raised),
            ),
            Finding(
                "SQLite",
                f"{len(days):,} rows of daily sales",
                truth.unlike(truth.days_read(days), sales),
            ),
            Finding(
                "files",
                f"{len(lines):,} lines of daily sales in {len(files)} file{'s' if len(files) != 1 else ''}",
                truth.unlike(truth.days_read(lines), sales),
            ),
            Finding(
                "webhook",
                f"{len(told):,} alerts by their ids, in {len(self.receiver.taken):,} signed requests",
                [*faults, *truth.unlike(_alerts_read(told), raised)],
            ),
        ]

    def _told(self) -> tuple[truth.Events, list[str]]:
        """Each alert once, as it came first; and what should not have come. One may come again, as it was."""
        first: dict[str, bytes] = {}
        for id_, body in self.receiver.taken:
            first.setdefault(id_, body)
        faults = [f"{id_}: came again as another one" for id_, body in self.receiver.taken if body != first[id_]]
        if self.receiver.refused:
            faults.append(f"not signed as they should be, and refused: {self.receiver.refused}")
        return truth.decoded(first.values()), faults


@contextmanager
def destinations() -> Iterator[Destinations]:
    """Ready to be delivered to, and named in this process's environment; all of it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="riverrun-deliveries-"))
    receiver = Receiver()
    said = {
        "RETAIL_FOLDER": str(folder),
        "RETAIL_WEBHOOK_PORT": str(receiver.port),
        "RETAIL_WEBHOOK_SECRET": receiver.secret,
    }
    os.environ.update(said)
    try:
        yield Destinations(folder, receiver)
    finally:
        for name in said:
            del os.environ[name]
        receiver.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _rows(database: sqlite3.Connection, query: str) -> truth.Events:
    """By the names of their columns. A table that is not there has none."""
    try:
        found = database.execute(query)
    except sqlite3.OperationalError:
        return []
    names = [name for name, *_ in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _alerts_read(alerts: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """As they were, before the route gave their fields other names."""
    return {**truth.alerts_read([{"customer_id": each["customer"], "amount_usd": each["usd"]} for each in alerts])}
