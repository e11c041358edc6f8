"""Real servers for tests of connectors, started by the tests on loopback and ended by them. Never a mock of one."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / ".servers"
PROGRAMS = ("postgres", "mosquitto", "redis-server", "versitygw", "nft")
JARS, JARS_POM = ROOT / "kafka", Path(__file__).parent / "kafka-pom.xml"
"""Apache Kafka's, which needs Java."""
_PLACES = ("usr/sbin", "usr/bin", "usr/lib/postgresql/*/bin", "bin")


def find_program(name: str) -> Path | None:
    """Of this machine, or of what `make servers` has unpacked. The newest PostgreSQL of several."""
    for root in (Path("/"), ROOT):
        for place in _PLACES:
            found = sorted(root.glob(f"{place}/{name}"))
            if found:
                return found[-1]
    path = shutil.which(name)
    return Path(path) if path else None


def require_program(name: str) -> Path:
    """Its path; where it is missing the test is skipped, visibly, and fails in CI."""
    found = find_program(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and CI must not pass without it: make servers")
        pytest.skip(f"{name} is missing: make servers")
    return found


def environment(program: Path) -> dict[str, str]:
    """For a program: what was unpacked beside it finds its libraries there."""
    if not program.is_relative_to(ROOT):
        return dict(os.environ)
    libraries = [str(path) for path in (ROOT / "usr/lib", *ROOT.glob("usr/lib/*-linux-gnu"))]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
