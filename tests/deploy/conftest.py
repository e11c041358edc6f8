"""The image, built as the Dockerfile says, once for all tests; and places for nodes that run from it."""

import os
import shutil
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.arenas.processes.netspace import namespaces
from tests.deploy import rooms
from tests.deploy.manifests import ROOT, Stage, read_dockerfile

NOT_FOR_TESTS = {"PIP_NO_CACHE_DIR"}
"""What is fetched is kept, as on any machine that builds more than once."""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with /opt/riverrun and the users of the image: both stages' RUN lines, run as they stand."""
    reason = rooms.why_not() or namespaces.why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    build, final = read_dockerfile()
    result, source = folder / "riverrun", folder / "source"
    for made in (result, source, folder / "wheels", folder / "files", folder / "etc"):
        made.mkdir()
    folder.chmod(0o755)
    python, cache = folder / "python", Path.home() / ".cache" / "pip"
    venv.create(python, with_pip=True)  # in the place of the image that the builder begins with
    cache.mkdir(parents=True, exist_ok=True)
    binds = {result: "/opt/riverrun", source: "/opt/source", folder / "wheels": "/opt/wheels"}
    binds |= {python: str(python), cache: str(cache)}  # at their own places: what is written there stays
    room = rooms.Room(folder / "files", binds=binds)
    settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "SSL_"))}
    settings |= build.environment() | {"PATH": f"{python}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for name in NOT_FOR_TESTS:
        settings.pop(name, None)
    _build(build, room, settings, source)
    keep = f"cp /etc/passwd /etc/group {folder}/etc"
    room.binds = {**binds, folder / "etc": str(folder / "etc")}
    for line in final.values("RUN"):
        _run(room, f"{line} && {keep}", settings)
    return folder


def _build(stage: Stage, room: rooms.Room, settings: dict[str, str], source: Path) -> None:
    """COPY and RUN, in their order."""
    for instruction, value in stage.instructions:
        if instruction == "COPY":
            *names, _ = value.split()
            for name in names:
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / name, ignore=ignore)
                else:
                    shutil.copy(ROOT / name, source / name)
        elif instruction == "RUN":
            _run(room, value, settings, folder=stage.last("WORKDIR"))


def _run(room: rooms.Room, line: str, settings: dict[str, str], *, folder: str = "/") -> None:
    done = room.run(["sh", "-c", line], settings, nobody=False, folder=folder, within_s=300)
    assert 0 == done.returncode, f"{line}\n{done.stdout}{done.stderr}"


@contextmanager
def spaces(nodes: tuple[int, ...], number: int) -> Iterator[namespaces.Names]:
    """Network namespaces that are wired, for so many places and a client."""
    names = namespaces.Names.of(os.getpid(), 900 + number, nodes)
    try:
        namespaces.make_spaces(names)
        namespaces.make_bridge(names)
        yield names
    finally:
        namespaces.remove_spaces(names)
