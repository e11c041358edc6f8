"""Whole files as a source through kills of the reader and of the server: each record once, in its file's order."""

import itertools
from collections import defaultdict
from typing import Any

import pytest

from cluster.connectors.contract import Arrival
from cluster.connectors.objects.options import ObjectsSource
from tests.connectors.kills import kill_source
from tests.connectors.objects.conftest import s3_options
from tests.servers.s3 import S3

pytestmark = [pytest.mark.slow]
SEED = 31


class Deliveries:
    """Puts one more file into the bucket's directory each time, as whoever else uses it would."""

    def __init__(self, server: S3, prefix: str) -> None:
        self._folder = server.bucket("lake") / prefix
        self._folder.mkdir(parents=True)
        self._numbers = itertools.count()
        self.count = 0

    def feed(self) -> None:
        number = next(self._numbers)
        content = b"".join(b'{"file": %d, "n": %d}\n' % (number, n) for n in range(2500 if number % 20 == 0 else 3))
        beside = self._folder.parent.parent.parent / "new"
        beside.write_bytes(content)
        beside.rename(self._folder / f"{number * 7919 % 1000:03}-{number}.jsonl")
        self.count += content.count(b"\n")


@pytest.mark.parametrize("points", [5, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(240)])])
def test_every_record_is_captured_once(server: S3, points: int) -> None:
    """New files appear between those that were read."""
    deliveries = Deliveries(server, f"in-{points}")

    def done(found: list[Arrival]) -> bool:
        return len(found) >= deliveries.count

    def feed() -> None:
        if deliveries.count < 6_000 * points:
            deliveries.feed()

    options: dict[str, Any] = {**s3_options(server, f"in-{points}"), "timeout": "2s", "look": "50ms"}
    source = ObjectsSource(**options)
    found = kill_source(
        source, truth_done=done, peer=server, points=points, seed=SEED, feed=feed, zombies=True, wait_s=60
    )

    by_file: dict[int, list[int]] = defaultdict(list)
    for record in found:
        by_file[record.value["file"]].append(record.value["n"])
    assert deliveries.count == len(found)
    assert all(list(range(2500 if file % 20 == 0 else 3)) == numbers for file, numbers in by_file.items())
