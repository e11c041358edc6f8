"""Capture through kills of the reading process and of the server: every change once, in the order of its row."""

import contextlib
import random
from collections import defaultdict
from typing import Any

import psycopg
import pytest

from cluster.connectors.contract import Arrival
from cluster.connectors.postgres import PostgresSource
from tests.connectors.kills import kill_source
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow]
MARK = -1
NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::int8 * 1000"
Seen = tuple[str, int]
"""An operation, and the row's version."""


class Shop:
    """Changes rows of a table at random, and notes in another one, in the same transaction, what it did."""

    def __init__(self, server: PostgresServer, database: str, seed: int) -> None:
        self._server, self._database = server, database
        self._chance = random.Random(seed)
        self._connection: psycopg.Connection[Any] | None = None
        self.marked = False
        with server.connect(database) as db:
            db.execute("CREATE TABLE stock (id int, name text, v int NOT NULL, PRIMARY KEY (name, id))")
            columns = f"seq bigserial PRIMARY KEY, id int, op text, v int, ns int8 NOT NULL DEFAULT {NOW}"
            db.execute(f"CREATE TABLE audit ({columns})".encode())
            db.execute("INSERT INTO stock SELECT n, 'n' || n % 13, 0 FROM generate_series(1, 400) n")

    def feed(self) -> None:
        """One transaction, small or not."""
        try:
            if self._connection is None:
                self._connection = self._server.connect(self._database)
            with self._connection.transaction():
                if self._chance.random() < 0.03:
                    for _ in range(4):
                        self._note(self._connection, "UPDATE stock SET v = v + 1 RETURNING id, 'u', v")
                for _ in range(self._chance.choice([1, 1, 3, 300])):
                    self._change(self._connection)
        except psycopg.OperationalError:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Nothing more is changed."""
        if self._connection is not None:
            self._connection.close()

    def _change(self, db: "psycopg.Connection[Any]") -> None:
        place = self._chance.randint(1, 600)
        what = self._chance.random()
        if what < 0.2:
            new = "SELECT max(id) + 1, 'n' || max(id) %% 13, 0 FROM (SELECT id FROM audit UNION SELECT 400) a"
            query = f"INSERT INTO stock {new} RETURNING id, 'c', v"
        elif what < 0.3:
            query = "DELETE FROM stock WHERE id = %(place)s RETURNING id, 'd', v"
        else:
            query = "UPDATE stock SET v = v + 1 WHERE id = %(place)s RETURNING id, 'u', v"
        self._note(db, query, place)

    def _note(self, db: "psycopg.Connection[Any]", query: str, place: int = 0) -> None:
        statement = f"WITH did(id, op, v) AS ({query}) INSERT INTO audit (id, op, v) SELECT * FROM did"
        db.execute(statement.encode(), {"place": place})

    def done(self, records: list[Arrival]) -> bool:
        """The last change of all is captured."""
        if not self.marked:
            with contextlib.suppress(psycopg.OperationalError), self._server.connect(self._database) as db:
                db.execute("INSERT INTO stock VALUES (%s, 'mark', 0)", [MARK])
                self.marked = True
        return bool(records) and records[-1].value["op"] == "c" and records[-1].value["after"]["id"] == MARK

    def check(self, records: list[Arrival], seed: int) -> None:
        """Of each row: what was read, if it was, and then everything that the audit has of it."""
        with self._server.connect(self._database) as db:
            rows: dict[int, list[Seen]] = defaultdict(list)
            ended_ns: dict[int, int] = {}
            for number, op, version, time_ns in db.execute("SELECT id, op, v, ns FROM audit ORDER BY seq").fetchall():
                rows[number].append((op, version))
                ended_ns[number] = time_ns
        captured: dict[int, list[Seen]] = defaultdict(list)
        for record in records[:-1]:
            after, op = record.value["after"], record.value["op"]
            number = (after or record.value["before"])["id"]
            last = captured[number][-1][1] if captured[number] else 0
            captured[number].append((op, after["v"] if after else last))
        assert captured.keys() <= rows.keys() | {*range(1, 401)}
        read_ns = max(record.timestamp_ns for record in records if record.value["op"] == "r")
        for number in rows.keys() | {*range(1, 401)}:
            seen, did = captured[number], rows[number]
            if seen and seen[0][0] == "r":
                version = seen[0][1]
                did = [("r", version), *(each for each in did if each[1] > version or each[0] == "d")]
            elif not seen:  # gone before the snapshot came there
                assert did[-1][0] == "d", (seed, number, did)
                assert ended_ns[number] < read_ns, (seed, number, did)
            if seen:
                assert did == seen, (seed, number)


def _kill(points: int, seed: int) -> None:
    server = PostgresServer()
    try:
        server.start()
        database = server.new_database()
        shop = Shop(server, database, seed)
        options = PostgresSource(url=server.url(database), table="stock", heartbeat="1s")
        records = kill_source(
            options, truth_done=shop.done, peer=server, points=points, seed=seed, feed=shop.feed, zombies=True
        )
        shop.close()
        shop.check(records, seed)
    finally:
        server.stop()


@pytest.mark.timeout(120)
def test_every_change_once_through_kills() -> None:
    """A snapshot and changes while it is read, with five kills of each side and some zombies."""
    _kill(5, seed=1)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_every_change_once_through_many_kills(seed: int) -> None:
    """The same, twenty of each side."""
    _kill(20, seed=seed)
