"""Files as a destination through kills of their writer and of the server, with writers that were frozen: each once."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Delivery
from cluster.connectors.objects.options import FilesSink
from tests.connectors.kills import kill_sink
from tests.connectors.objects.conftest import s3_options
from tests.servers.s3 import S3

pytestmark = [pytest.mark.slow]
SEED = 21
RECORDS = 4_000
POINTS = [5, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(180)])]


class Nobody:
    """A directory has no process of its own."""

    def kill(self) -> None:
        pass

    def start(self) -> None:
        pass


def deliver(options: FilesSink, peer: Any, points: int) -> None:
    """All of them."""
    deliveries = [
        Delivery(value={"n": n}, key=b"%d" % n, timestamp_ns=n * 10**13, headers=(), offset=2 * n, id=f"{n}")
        for n in range(RECORDS)
    ]
    kill_sink(options, deliveries, peer=peer, points=points, seed=SEED, lanes=2, zombies=True)


def contents(folder: Path) -> list[int]:
    """Of all files with data, in a directory or in the server's own."""
    found = [path for path in folder.rglob("part-*.jsonl") if "_riverrun" not in path.parts]
    return sorted(json.loads(line)["n"] for path in found for line in path.read_text().splitlines())


@pytest.mark.parametrize("points", POINTS)
def test_a_directory(tmp_path: Path, points: int) -> None:
    """Each record is in one file, once."""
    options = FilesSink(url=f"file://{tmp_path}/out", roll_records=60, folder="{date}/")
    deliver(options, Nobody(), points)

    assert list(range(RECORDS)) == contents(tmp_path / "out")


@pytest.mark.parametrize("points", POINTS)
def test_a_bucket(server: S3, tmp_path: Path, points: int) -> None:
    """Each record is in one object, once, though the server is killed as well."""
    prefix = f"kills-{points}/{tmp_path.name}"
    options = FilesSink(**{**s3_options(server, prefix), "timeout": "2s"}, roll_records=60)
    deliver(options, server, points)

    assert list(range(RECORDS)) == contents(server.bucket("lake") / prefix)
