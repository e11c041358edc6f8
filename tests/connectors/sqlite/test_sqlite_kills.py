"""The SQLite sink through kills of its process, and of somebody who has the database locked: each row once."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cluster.connectors.contract import Delivery
from cluster.connectors.sqlite.options import SqliteSink
from tests.connectors.kills import kill_sink

pytestmark = [pytest.mark.slow]
SEED = 11
RECORDS = 3_000
_NEIGHBOUR = """
import random, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
database.execute("CREATE TABLE IF NOT EXISTS other (n)")
print("up", flush=True)
while True:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO other VALUES (?)", [(n,) for n in range(100)])
    time.sleep(random.uniform(0, 0.02))
    database.execute(random.choice(["COMMIT", "ROLLBACK"]))
    time.sleep(random.uniform(0, 0.02))
"""


class Neighbour:
    """A process that writes the same file, and leaves a hot journal behind when it is killed."""

    def __init__(self, path: Path) -> None:
        self._path, self._process = path, None

    def start(self) -> None:
        command = [sys.executable, "-c", _NEIGHBOUR, str(self._path)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.mark.parametrize("points", [5, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_every_record_is_a_row_once(tmp_path: Path, mode: str, points: int) -> None:
    """Through kills, freezes and takeovers, with batches that are cut elsewhere each time."""
    path = tmp_path / "shop.db"
    options = SqliteSink(path=str(path), table="orders", mode=mode, busy_timeout="100ms")  # type: ignore[arg-type]
    deliveries = [
        Delivery(value={"n": n}, key=b"%d" % (n % 500), timestamp_ns=0, headers=(), offset=3 * n, id=f"{n}")
        for n in range(RECORDS)
    ]
    neighbour = Neighbour(path)
    neighbour.start()
    try:
        kill_sink(options, deliveries, peer=neighbour, points=points, seed=SEED, lanes=2, zombies=True)
    finally:
        neighbour.kill()

    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT n FROM orders").fetchall()
    wanted = range(RECORDS) if mode == "append" else range(RECORDS - 500, RECORDS)
    assert [(n,) for n in wanted] == sorted(rows)
