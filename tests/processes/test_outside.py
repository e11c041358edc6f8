"""Sources and sinks on real nodes: each line of a file is in the book once, whatever is killed."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.app_views import StageView
from cluster.client.client import Client
from tests.processes import apps

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
MakeCluster = Callable[[int], LocalCluster]
APP = Path(__file__).parent / "outside_app.py"
LIMITS = apps.LIMITS + 'host_environment = ["OUTSIDE"]\n'


async def started(make_cluster: MakeCluster, nodes: int, place: Path, monkeypatch) -> tuple[LocalCluster, Client]:
    """A cluster with the app."""
    monkeypatch.setenv("OUTSIDE", str(place))
    cluster = make_cluster(nodes)
    apps.limit(cluster, LIMITS)
    cluster.start_all()
    await wait_ready(cluster)
    client = await connect(cluster.addresses)
    await client.deploy_app(APP.read_bytes(), file_name="outside.py", partitions=3)
    return cluster, client


def write(place: Path, first: int, end: int) -> None:
    """Lines with these numbers, of seven keys."""
    with (place / "lines").open("a") as file:
        file.writelines(f"k{number % 7},{number}\n" for number in range(first, end))


def book(place: Path) -> list[str]:
    """Its lines, as they came."""
    path = place / "books" / "book.db"
    if not path.exists():
        return []
    with sqlite3.connect(path, timeout=10) as opened:
        try:
            return [line for (line,) in opened.execute("select line from book order by rowid")]
        except sqlite3.OperationalError:
            return []


async def stage(client: Client, name: str, is_so: Callable[[StageView], bool]) -> StageView:
    """As soon as it is so."""
    async with asyncio.timeout(apps.PATIENCE_S):
        while True:
            found = next(item for item in (await client.describe_app("outside")).stages if item.name == name)
            if is_so(found):
                return found
            await asyncio.sleep(apps.LOOK_S)


def in_order(lines: list[str]) -> bool:
    """Of each key."""
    numbers: dict[str, int] = {}
    for line in lines:
        key, number = line.split(",")
        if numbers.get(key, -1) >= int(number):
            return False
        numbers[key] = int(number)
    return True


async def test_every_line_is_in_the_book_once_though_nodes_and_connectors_are_killed(
    make_cluster: MakeCluster, tmp_path: Path, monkeypatch
) -> None:
    """Twenty kills, of nodes and of their children, at random moments; each key's lines in their order."""
    place = tmp_path / "outside"
    (place / "books").mkdir(parents=True)
    write(place, 0, 100)
    cluster, client = await started(make_cluster, 3, place, monkeypatch)
    chance = random.Random(4)
    for kill in range(20):
        write(place, 100 + kill * 50, 150 + kill * 50)
        await asyncio.sleep(chance.random() * 0.4)
        if kill % 4 == 3:
            victim = chance.choice(cluster.nodes)
            cluster.kill(victim)
            cluster.start(victim)
            await wait_ready(cluster)
        else:
            victims = apps.children(cluster)
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
    async with asyncio.timeout(apps.PATIENCE_S):
        while len(book(place)) < 1_100:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(apps.LOOK_S)
    await stage(client, "book", lambda found: found.lag_records == 0)
    found = book(place)
    assert sorted(f"k{number % 7},{number}" for number in range(1_100)) == sorted(found)
    assert in_order(found)
    await client.close()


async def test_what_is_away_is_waited_for_and_what_is_refused_is_a_dead_letter(
    make_cluster: MakeCluster, tmp_path: Path, monkeypatch
) -> None:
    """The source's file is not there yet, then the destination is away: both say so, and nothing is lost."""
    place = tmp_path / "outside"
    place.mkdir()
    cluster, client = await started(make_cluster, 1, place, monkeypatch)
    found = await stage(client, "capture", lambda found: any("is not there" in task.why for task in found.tasks))
    assert {"waiting"} == {str(task.state) for task in found.tasks}
    write(place, 0, 10)
    found = await stage(client, "book", lambda found: any("the book is away" in task.why for task in found.tasks))
    (place / "books").mkdir()
    with (place / "lines").open("a") as file:
        file.write("k0,refuse\n")
    write(place, 10, 20)
    found = await stage(client, "book", lambda found: found.counts.get("dead_lettered") == 1 and not found.lag_records)
    assert sorted(f"k{number % 7},{number}" for number in range(20)) == sorted(book(place))
    (letter,) = await apps.records(client, "outside.book.dead", 1)
    assert b"k0,refuse" == letter
    assert str((place / "lines").stat().st_size) == (place / "lines.done").read_text()
    await client.close()
    assert cluster.nodes
