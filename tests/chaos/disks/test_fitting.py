"""What is fitted around nodes: one disk and one library for each, however many fittings want them, and none is left."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import chaos.nemeses.disks  # noqa: F401  registers its faults
from chaos.arenas.arena import HitNobody, Injector
from chaos.arenas.processes.disks.fitting import DamagedDisks, FailingDisks, LoopDisks, LyingDisks
from chaos.arenas.processes.disks.shim import CONTROL
from chaos.arenas.processes.fitting import Launch
from chaos.arenas.processes.fittings import BY_FAMILY, BY_FAULT, FITTINGS
from chaos.nemeses.catalogue import CATALOGUE
from cluster.config import ListenerConfig, NodeConfig
from tests.conftest import require_tool
from tests.processes.file_systems import require_root


class Nobody:
    """Nodes that never run."""

    def __init__(self, folder: Path) -> None:
        nowhere = ListenerConfig(bind="127.0.0.1:1")
        self.launches: Mapping[int, Launch] = {}
        for node in (1, 2, 3):
            home = folder / f"node-{node}"
            config = NodeConfig(
                cluster_id="0" * 32, node=node, data_dir=str(home / "data"), client=nowhere, peer=nowhere, peers=()
            )
            self.launches = {**self.launches, node: Launch(node, home, config)}

    def pid(self, node: int) -> int | None:
        del node

    async def start(self, node: int) -> None: ...

    async def kill(self, node: int) -> None: ...

    async def terminate(self, node: int) -> None: ...

    def expect_end(self, node: int) -> None: ...

    def expect_no_end(self, node: int) -> None: ...

    def note(self, node: int, what: str) -> None: ...


def _disks(folder: Path) -> int:
    return sum(str(folder) in mount.read_text() for mount in Path("/sys/block").glob("loop*/loop/backing_file"))


@pytest.mark.root
@pytest.mark.slow
async def test_fittings_share_disks_and_library(tmp_path: Path):
    """Whoever made something takes it away, last; between them they bring all faults that there are."""
    require_root()
    require_tool("cc")
    nodes = Nobody(tmp_path)
    fittings = [LoopDisks(32), LyingDisks(), FailingDisks(), DamagedDisks()]
    if why := fittings[0].missing():
        pytest.skip(why)
    injectors: dict[str, Injector] = {}
    try:
        for fitting in fittings:
            injectors |= await fitting.fit(nodes)
        assert 3 == _disks(tmp_path)
        launch = nodes.launches[2]
        assert (launch.folder / "disk").is_mount()
        assert str(launch.folder / "disk" / "data") == launch.config.data_dir
        assert 1 == launch.environment["LD_PRELOAD"].count("shim-")
        assert str(launch.folder / "disk.control") == launch.environment[CONTROL]
        places = {BY_FAULT.get(fault) or BY_FAMILY[CATALOGUE[fault].family] for fault in injectors}
        ours = {name for name, where in FITTINGS.items() if where.startswith("chaos.arenas.processes.disks.")}
        assert ours == places
        assert {""} == {injector.missing() for injector in injectors.values()}
    finally:
        for fitting in reversed(fittings):
            await fitting.remove()
    assert 0 == _disks(tmp_path)


@pytest.mark.root
@pytest.mark.slow
async def test_without_loop_devices_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Before anything was made."""
    require_root()
    monkeypatch.setattr("chaos.arenas.processes.disks.loop._loop_devices", lambda: ({"loop0": "/an/image"}, []))
    fitting = LoopDisks(32)

    assert "3 loop devices are needed, and 0 of 1 are free (others: /an/image)" == fitting.missing()
    with pytest.raises(RuntimeError, match="3 loop devices are needed"):
        await fitting.fit(Nobody(tmp_path))


async def test_without_a_compiler_the_reason_is_said(monkeypatch: pytest.MonkeyPatch):
    """The others are still possible."""
    monkeypatch.setenv("PATH", "/nowhere")

    assert "no cc on this machine" in FailingDisks().missing()
    assert "no cc on this machine" in LyingDisks().missing()
    assert "" == DamagedDisks().missing()


async def test_a_node_without_such_a_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is not killed for a damage that does not happen."""
    nodes, killed = Nobody(tmp_path), list[int]()

    async def kill(node: int) -> None:
        killed.append(node)

    monkeypatch.setattr(nodes, "kill", kill)
    damage = (await DamagedDisks().fit(nodes))["damaged_state"]
    options = {"node": 2, "what": "state", "how": "flip", "file": 0.5, "place": 0.5, "size": 0.5}
    with pytest.raises(HitNobody, match="node 2 has no state"):
        await damage.inject([1], options)
    assert [] == killed
