"""Rows through kills of the writing process and of the server: each effect once, in the order of its lane."""

import random
from typing import Any

import pytest

from cluster.connectors.contract import Delivery
from cluster.connectors.postgres import PostgresSink
from tests.connectors.kills import kill_sink
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow]
RECORDS = 3000
KEYS = 300


def _deliveries(seed: int) -> list[Delivery]:
    chance = random.Random(seed)
    found = []
    for number in range(RECORDS):
        key = b"%d" % chance.randrange(KEYS)
        value = None if chance.random() < 0.1 else {"id": int(key), "n": number, "words": ["a", str(number)]}
        found.append(
            Delivery(value=value, key=key, timestamp_ns=0, headers=(), offset=2 * number, id=f"topic/0/{number}")
        )
    return found


def _kill(points: int, seed: int, mode: str) -> None:
    deliveries = _deliveries(seed)
    server = PostgresServer()
    try:
        server.start()
        database = server.new_database()
        with server.connect(database) as db:
            db.execute("CREATE TABLE counts (id int PRIMARY KEY, n int, words jsonb, times int DEFAULT 1)")
            db.execute("CREATE TABLE entries (seq bigserial, id int, n int, words jsonb)")
            db.execute(COUNTING)
        if mode == "append":
            deliveries = [delivery for delivery in deliveries if delivery.value is not None]
            options = PostgresSink(url=server.url(database), table="entries", mode="append")
        else:
            options = PostgresSink(url=server.url(database), table="counts", key="id")
        kill_sink(options, deliveries, peer=server, points=points, seed=seed, lanes=3, zombies=True)
        with server.connect(database) as db:
            counts = db.execute("SELECT id, n, words, times FROM counts ORDER BY id").fetchall()
            entries = db.execute("SELECT id, n, words FROM entries ORDER BY seq").fetchall()
        if mode == "append":
            _check_entries(deliveries, entries, seed)
        else:
            _check_counts(deliveries, counts, seed)
    finally:
        server.stop()


COUNTING = """
CREATE FUNCTION newer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF new.n <= old.n THEN RAISE EXCEPTION 'row % goes back from % to %', old.id, old.n, new.n; END IF;
  RETURN new;
END $$;
CREATE TRIGGER newer BEFORE UPDATE ON counts FOR EACH ROW EXECUTE FUNCTION newer()"""
"""A row that is written a second time, or by somebody who was taken over, is refused."""


def _check_counts(deliveries: list[Delivery], rows: list[tuple[Any, ...]], seed: int) -> None:
    wanted: dict[int, Any] = {}
    for delivery in deliveries:
        assert delivery.key is not None
        wanted.pop(int(delivery.key), None)
        if delivery.value is not None:
            wanted[int(delivery.key)] = delivery.value
    assert [(key, value["n"], value["words"], 1) for key, value in sorted(wanted.items())] == rows, seed


def _check_entries(deliveries: list[Delivery], rows: list[tuple[Any, ...]], seed: int) -> None:
    """All once; those of each key in their order."""
    wanted: dict[int, list[int]] = {}
    found: dict[int, list[int]] = {}
    for delivery in deliveries:
        wanted.setdefault(delivery.value["id"], []).append(delivery.value["n"])
    for key, number, _ in rows:
        found.setdefault(key, []).append(number)
    assert wanted == found, seed


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_each_record_once_through_kills(mode: str) -> None:
    """Five kills of each side, some zombies, three lanes."""
    _kill(5, 1, mode)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_each_record_once_through_many_kills(mode: str, seed: int) -> None:
    """The same, twenty of each side."""
    _kill(20, seed, mode)
