"""The source of growing files through kills of its process and of who writes and rotates them: each line once."""

import itertools
import random
from pathlib import Path

import pytest

from cluster.connectors.contract import Arrival
from cluster.connectors.files.options import FileTail
from tests.connectors.kills import kill_source

pytestmark = [pytest.mark.slow]
SEED = 5


class Writer:
    """Writes numbered lines in pieces that end anywhere, renames its file, and is interrupted in the middle of it."""

    def __init__(self, folder: Path) -> None:
        self._log, self._numbers, self._chance = folder / "app.log", itertools.count(), random.Random(SEED)
        self._rotations = itertools.count(1)
        self.count = 0

    def kill(self) -> None:
        """There is nothing that a writer has to be asked for."""

    def start(self) -> None:
        """Goes on by itself."""

    def feed(self) -> None:
        line = b'{"n": %d, "rest": "%s"}\n' % (next(self._numbers), b"x" * self._chance.randint(0, 300))
        cut = self._chance.randint(0, len(line))
        for piece in (line[:cut], line[cut:]):
            with self._log.open("ab") as file:
                file.write(piece)
        self.count += 1
        if self._chance.random() < 0.005:
            number = next(self._rotations)
            self._log.rename(self._log.with_name(f"app.log.{number:04}"))
            self._log.touch()


@pytest.mark.parametrize("points", [5, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
def test_every_line_is_captured_once(tmp_path: Path, points: int) -> None:
    """Through rotations and takeovers by a process that does not know the files' names any more."""
    writer = Writer(tmp_path)

    def done(found: list[Arrival]) -> bool:
        return len(found) >= writer.count

    options = FileTail(path=f"{tmp_path}/app.log*", format="json", poll="10ms")
    found = kill_source(options, truth_done=done, peer=writer, points=points, seed=SEED, feed=writer.feed, zombies=True)

    assert list(range(writer.count)) == sorted(record.value["n"] for record in found)
