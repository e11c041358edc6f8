"""`riverrun dev --routes`: a source's expressions change while it captures, and it goes on where it was."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import connect
from cluster.client.client import Client
from cluster.errors import RiverrunError
from tests.processes import apps
from tests.servers.postgres import PASSWORD, USER, PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(180)]
FORMS = 5
ROUTES = """
[connections.shop]
kind = "postgres"
url = "postgresql://{user}:${{PASSWORD_OF_SHOP}}@127.0.0.1:{port}/{database}"

[[route]]
name = "capture"
from = {{ connection = "shop", table = "readings" }}
where = "after.id % 3 != {form} % 3"
map = {{ id = "after.id", form = "{form}" }}
to = {{ topic = "some" }}
"""
PAUSE_S = 0.003


class Readings:
    """A table that rows are added to all the time, with ids from 1 on."""

    def __init__(self) -> None:
        self.server = PostgresServer()
        self.server.start()
        self.database = self.server.new_database()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        with self.server.connect(self.database) as db:
            db.execute("CREATE TABLE readings (id int PRIMARY KEY)")
        self.last = 0

    def start(self) -> None:
        """Add rows from now on."""
        self._thread.start()

    def finish(self) -> None:
        """No more are added."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with self.server.connect(self.database) as db:
            for number in itertools.count(1):
                if self._over.is_set():
                    return
                db.execute("INSERT INTO readings VALUES (%s)", [number])
                self.last = number
                time.sleep(PAUSE_S)


@pytest.fixture
def readings() -> Iterator[Readings]:
    """Nothing is added any more when the test is over."""
    made = Readings()
    made.start()
    try:
        yield made
    finally:
        made.finish()
        made.server.stop()


def write(file: Path, readings: Readings, form: int, *, broken: bool = False) -> None:
    """The route file in that form, put in the place of what was there, as editors do."""
    text = ROUTES.format(user=USER, port=readings.server.port, database=readings.database, form=form)
    beside = file.with_suffix(".new")
    beside.write_text(text.replace("!=", "=!") if broken else text)
    beside.replace(file)


@contextlib.contextmanager
def dev(file: Path, data: Path, port: int) -> Iterator[Path]:
    """`riverrun dev` with these routes, on one node; what it says comes into the file that is given."""
    said = data.with_suffix(".said")
    command = [sys.executable, "-m", "cluster.cli", "dev", "--nodes", "1", "--data-dir", str(data), "--port", str(port)]
    with said.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--routes", str(file), "--partitions", "1"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PASSWORD_OF_SHOP": PASSWORD, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


async def come(client: Client) -> list[tuple[int, int]]:
    """Ids and forms in the topic, in its order; none as long as it is not there."""
    with contextlib.suppress(RiverrunError):
        values = [record.value async for record in client.read("some", start="earliest", until="latest")]
        return [(value["id"], value["form"]) for value in map(json.loads, values)]
    return []


async def opened(port: int) -> Client:
    """As soon as there is somebody."""
    async with asyncio.timeout(apps.PATIENCE_S):
        while True:
            with contextlib.suppress(RiverrunError):
                return await connect(f"127.0.0.1:{port}")
            await asyncio.sleep(apps.LOOK_S)


async def until_form(client: Client, form: int, said: Path) -> None:
    """Return when something has come in that form."""
    try:
        async with asyncio.timeout(apps.PATIENCE_S):
            while form not in {form for _, form in await come(client)}:  # noqa: ASYNC110
                await asyncio.sleep(apps.LOOK_S)
    except TimeoutError:
        raise AssertionError(f"nothing comes in form {form}; {said.read_text()[-2000:]}") from None  # noqa: ASYNC240


async def test_changed_expressions_go_on_where_the_others_were(readings: Readings, tmp_path: Path) -> None:
    """Nothing is lost and nothing captured twice; a file with a mistake changes nothing, and is said."""
    file = tmp_path / "shop.toml"
    write(file, readings, 0)
    with claimed_ports(1) as port, dev(file, tmp_path / "data", port) as said:
        client = await opened(port)
        await until_form(client, 0, said)
        for form in range(1, FORMS):
            if form == 2:
                write(file, readings, form, broken=True)
                await apps.until(lambda: "is not deployed" in said.read_text())
            write(file, readings, form)
            await until_form(client, form, said)
        readings.finish()
        last = next(number for number in range(readings.last, 0, -1) if number % 3 != (FORMS - 1) % 3)
        async with asyncio.timeout(apps.PATIENCE_S):
            while (last, FORMS - 1) not in await come(client):  # noqa: ASYNC110
                await asyncio.sleep(apps.LOOK_S)
        found = await come(client)
        await client.close()
    assert sorted(found) == found
    assert sorted({form for _, form in found}) == sorted(
        form for form, _ in itertools.groupby(found, lambda one: one[1])
    )
    assert len(found) == len({number for number, _ in found})
    for (before, form), (after, later) in itertools.pairwise([(0, 0), *found]):
        for left_out in range(before + 1, after):
            assert any(left_out % 3 == one % 3 for one in (form, later)), f"{left_out} was lost"
