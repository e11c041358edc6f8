"""A shop's table whose rows change all the time, the table that it is copied to, and how the two differ."""

import contextlib
import random
import threading
import time
from typing import Any

import psycopg

from tests.servers.postgres import PostgresServer

ROWS = 300
"""There are when it begins."""
PLACES = 400
"""Ids that rows come and go by."""
ROW = """id int PRIMARY KEY, customer text, amount numeric(12, 2), weight float8, at timestamptz, paid bool,
  notes jsonb, tags text[], photo bytea, changes int NOT NULL"""
TABLES = f"""
CREATE TABLE ledger (id int PRIMARY KEY, changes int NOT NULL);
CREATE TABLE orders ({ROW});
CREATE TABLE orders_copy ({ROW}, counted int);
CREATE FUNCTION counted(key int) RETURNS int LANGUAGE sql AS $$
  INSERT INTO ledger AS known VALUES (key, 1) ON CONFLICT (id) DO UPDATE SET changes = known.changes + 1
  RETURNING changes
$$;
CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN PERFORM counted(OLD.id); RETURN OLD; END IF;
  IF TG_OP = 'UPDATE' AND NEW.id <> OLD.id THEN PERFORM counted(OLD.id); END IF;
  NEW.changes = counted(NEW.id);
  RETURN NEW;
END $$;
CREATE TRIGGER changes BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION count_change();
"""
"""`changes` is how often the key has changed, through deletes: the database counts it, in the change's transaction."""
PHOTO = "decode(repeat(md5(random()::text), 300), 'hex')"
INSERT = f"""INSERT INTO orders
  SELECT n, 'c ' || n %% 17 || ' ö"''\\', random() * 1e6, random(), clock_timestamp(), n %% 3 = 0,
    jsonb_build_object('n', n, 'of', ARRAY['a', NULL]), ARRAY['x,y', NULL, 't' || n], {PHOTO}
  FROM generate_series(%(first)s::int, %(last)s::int) n WHERE NOT EXISTS (SELECT FROM orders WHERE id = n)"""
UPDATE = (
    "UPDATE orders SET amount = amount + 1.01, notes = NULL, tags = array_append(tags, 'more') WHERE id = %(first)s"
)
UPDATE_MANY = "UPDATE orders SET paid = NOT paid, weight = random() WHERE id %% 10 = %(first)s %% 10"
DELETE = "DELETE FROM orders WHERE id = %(first)s"
MOVE = f"""UPDATE orders SET id = %(other)s, photo = {PHOTO}
  WHERE id = %(first)s AND NOT EXISTS (SELECT FROM orders WHERE id = %(other)s)"""
"""With a photo: PostgreSQL tells nobody of a large value that stays while its row's key changes."""
UPDATES = [UPDATE] * 6 + [UPDATE_MANY]
ALL = UPDATES + [INSERT] * 3 + [DELETE] * 2 + [MOVE] * 2
COLUMNS = "id, customer, amount, weight, at, paid, notes, tags, photo, changes"
DIFFERENCE = f"""SELECT 'wanted', * FROM (SELECT {COLUMNS}, changes FROM orders EXCEPT TABLE orders_copy) w
  UNION ALL SELECT 'found', * FROM (TABLE orders_copy EXCEPT SELECT {COLUMNS}, changes FROM orders) f"""
PAUSE_S = 0.01


class Orders:
    """Changes rows at random, on a thread of its own, whatever becomes of the database meanwhile."""

    def __init__(self, server: PostgresServer, seed: int) -> None:
        self._server = server
        self.database = server.new_database()
        self._chance = random.Random(seed)
        self._statements = UPDATES
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.transactions = 0
        with server.connect(self.database) as db:
            db.execute(TABLES)
            db.execute(INSERT.encode(), {"first": 1, "last": ROWS})

    def start(self) -> None:
        """Rows change from now on, but none comes or goes: what the first look does not find would have no count."""
        self._thread.start()

    def come_and_go(self) -> None:
        """Rows are added and deleted, and get other keys."""
        self._statements = ALL

    def finish(self) -> None:
        """The last changes: of every key there is a row, so that its count can be seen."""
        self._over.set()
        self._thread.join()
        with self._server.connect(self.database) as db:
            db.execute(INSERT.encode(), {"first": 1, "last": PLACES})

    def difference(self) -> list[tuple[Any, ...]]:
        """Rows that are wanted in the copy, or found there and not wanted, with their counts."""
        with self._server.connect(self.database) as db:
            return db.execute(DIFFERENCE.encode()).fetchall()

    def changes(self) -> int:
        """How many there were, altogether."""
        with self._server.connect(self.database) as db:
            found = db.execute("SELECT sum(changes) FROM ledger").fetchone()
        assert found is not None
        return int(found[0])

    def leave_open(self) -> "psycopg.Connection[Any]":
        """A transaction that has done something, and will never be committed."""
        db = self._server.connect(self.database)
        db.execute("BEGIN")
        db.execute("INSERT INTO orders (id, customer) SELECT n, 'never' FROM generate_series(1001, 1100) n")
        return db

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(psycopg.OperationalError), self._server.connect(self.database) as db:
                while not self._over.is_set():
                    self._change(db)
                    time.sleep(PAUSE_S)
            time.sleep(PAUSE_S)

    def _change(self, db: "psycopg.Connection[Any]") -> None:
        """One transaction, small or not."""
        with db.transaction():
            for _ in range(self._chance.choice([1, 1, 2, 5])):
                first, other = self._chance.randint(1, PLACES), self._chance.randint(1, PLACES)
                statement = self._chance.choice(self._statements)
                db.execute(statement.encode(), {"first": first, "last": first, "other": other})
        self.transactions += 1
