"""Data that an earlier version wrote is read as it was meant."""

import shutil
from pathlib import Path

import msgspec
import pytest

from cluster.real.disk import RealDisk
from tests.log.formats import FACTS, FOLDER, facts, write

SAMPLES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_that_landed_is_still_read(tmp_path: Path, name: str) -> None:
    """Log, vote and journal: every entry, every record."""
    shutil.copytree(FOLDER / name, tmp_path / name)
    disk = RealDisk(tmp_path / name)
    found = facts(disk)
    disk.close()

    assert msgspec.json.decode((FOLDER / name / FACTS).read_bytes()) == found
    assert found["whole"]
    assert {"NONE", "LZ4", "ZSTD", None} == {entry["codec"] for entry in found["entries"]}


def test_what_is_written_today_has_a_sample(tmp_path: Path) -> None:
    """A change of format that has none yet: `python -m tests.log.formats NAME` writes it.

    Compressed batches are left out: their bytes belong to the compressors.
    """
    disk = RealDisk(tmp_path)
    write(disk)
    disk.close()
    segments = sorted(tmp_path.rglob("*.log"))
    written = [segments[0], *tmp_path.rglob("vote"), *tmp_path.rglob("journal")]
    known = FOLDER / SAMPLES[-1]

    assert 3 == len(written)
    assert [(known / path.relative_to(tmp_path)).read_bytes() for path in written] == [
        path.read_bytes() for path in written
    ]
