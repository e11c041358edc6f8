"""What the manifests say is what runs: built, started, asked for its health, used, and ended, by their own lines.

Each node is in a room (`rooms`): the paths, ports, names, user and environment are those of its manifest, and its root
is read-only. What an engine would do besides (images, volumes, restarts) is not tested here.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from chaos.arenas.processes.links.server import find_server
from chaos.arenas.processes.netspace.namespaces import CLIENTS, Names
from cluster.cli.certificates import Authority
from tests.deploy import rooms
from tests.deploy.conftest import spaces
from tests.deploy.machines import CLUSTER_ID, Machine, chart_machines, compose_machines, image_machine, unit_machines
from tests.deploy.manifests import read_compose

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300)]
KINDS: dict[str, Callable[[Path], list[Machine]]] = {
    "compose": lambda _: compose_machines("compose.yaml"),
    "chart": lambda _: chart_machines("default"),
    "chart-minimal": lambda _: chart_machines("minimal"),
    "chart-production": lambda folder: chart_machines("production", certificates=certificates(folder), replicaCount=3),
    "systemd": lambda _: unit_machines(),
}
PATIENCE_S = 60.0
PROXIES = 100
"""The place of Toxiproxy."""
_numbers = count()


class Fleet:
    """The nodes of one manifest, each in its room."""

    def __init__(self, machines: list[Machine], image: Path, folder: Path, names: Names) -> None:
        self.machines = {machine.node: machine for machine in machines}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = folder
        hosts = "127.0.0.1 localhost\n" + "".join(
            f"{names.address(machine.node)} {' '.join(machine.names)}\n" for machine in machines
        )
        self.rooms: dict[int, rooms.Room] = {}
        for place in (*self.machines, *({PROXIES, CLIENTS} & set(names.places))):
            data = folder / f"data-{place}"
            data.mkdir()
            data.chmod(0o750)
            rooms.own(data)
            room = rooms.Room(
                folder / f"files-{place}",
                binds={image / "riverrun": "/opt/riverrun", data: "/var/lib/riverrun"},
                space=names.space(place),
            )
            room.give("/etc/hosts", hosts + f"{names.address(PROXIES)} toxiproxy\n")
            for name in ("passwd", "group"):
                room.give(f"/etc/{name}", (image / "etc" / name).read_text())
            machine = self.machines.get(place)
            for path, content in machine.files.items() if machine else ():
                room.give(path, content)
            self.rooms[place] = room

    def start(self, node: int) -> None:
        """By its manifest's command."""
        machine = self.machines[node]
        self.processes[node] = self.rooms[node].start(machine.command, machine.environment, log=self.log(node))

    def log(self, node: int) -> Path:
        """What it says."""
        return self._folder / f"node-{node}.log"

    def stop(self, node: int) -> float:
        """As its manifest has it: SIGTERM, and a clean end within its grace; how long it took, in seconds."""
        process, began = self.processes.pop(node), time.monotonic()  # noqa: TID251
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(self.machines[node].grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert 0 == code, self.log(node).read_text()[-2000:]
        return time.monotonic() - began  # noqa: TID251

    def health(self, node: int, *more: str) -> "subprocess.CompletedProcess[str]":
        """Its manifest's health check, inside."""
        machine = self.machines[node]
        return self.rooms[node].run([*machine.health, *more], machine.environment)

    def wait_ready(self, node: int) -> None:
        """By that check, with `--ready`, until it says so."""
        deadline = time.monotonic() + PATIENCE_S  # noqa: TID251
        while (done := self.health(node, "--ready")).returncode:
            assert self.processes[node].poll() is None, self.log(node).read_text()[-2000:]
            assert time.monotonic() < deadline, done.stderr + self.log(node).read_text()[-2000:]  # noqa: TID251

    def riverrun(self, node: int, *arguments: str, stdin: str = "") -> str:
        """The command, inside, as `docker compose exec` or `kubectl exec` run it."""
        machine = self.machines[node]
        words = [machine.command[0], *arguments]
        done = self.rooms[node].run(words, machine.environment, stdin=stdin)
        assert 0 == done.returncode, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def end(self) -> None:
        """Whatever still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()


def certificates(folder: Path) -> dict[str, str]:
    """As the chart wants them: one for all nodes, with the names that deploy/README.md says."""
    authority = Authority.make(folder / "authority")
    hosts = ["riverrun.streaming.svc", "*.riverrun-nodes.streaming.svc.cluster.local"]
    issued = authority.issue("nodes", hosts=hosts, uris=[f"riverrun://{CLUSTER_ID}/node"])
    files = {"ca.crt": authority.ca_file, "tls.crt": issued.cert_file, "tls.key": issued.key_file}
    return {name: file.read_text() for name, file in files.items()}


@contextlib.contextmanager
def fleet(machines: list[Machine], image: Path, folder: Path, *more: int) -> Iterator[Fleet]:
    """Made, not started."""
    with spaces((*(machine.node for machine in machines), *more), next(_numbers)) as names:
        made = Fleet(machines, image, folder, names)
        try:
            yield made
        finally:
            made.end()


def test_the_image_has_what_it_needs_and_no_more(image: Path, tmp_path: Path):
    """Its command runs as nobody on a read-only root; there is no pip, and the connectors' packages are there."""
    room = rooms.Room(tmp_path / "files", binds={image / "riverrun": "/opt/riverrun"})
    (tmp_path / "files").mkdir()
    machine = image_machine()

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return room.run(words, machine.environment)

    assert "riverrun, version" in run("riverrun", "--version").stdout
    assert "No module named pip" in run("python", "-m", "pip", "--version").stderr
    connectors = "import psycopg, aiomqtt, redis, httpx2, obstore, confluent_kafka, lmdb, cluster; print('there')"
    assert "there\n" == run("python", "-c", connectors).stdout
    assert "Read-only file system" in run("touch", "/etc/riverrun.toml").stderr
    assert f"{rooms.USER}\n" == run("id", "-u").stdout
    assert "riverrun:x:10001:10001:" in (image / "etc" / "passwd").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_run_as_their_manifest_says(image: Path, tmp_path: Path, kind: str):
    """All start, are healthy by its own check, keep what they are given, and end within its grace."""
    with fleet(KINDS[kind](tmp_path), image, tmp_path) as nodes:
        first = min(nodes.machines)
        for node in nodes.machines:
            assert nodes.health(node).returncode == 1, "nobody is there"
            nodes.start(node)
        for node in nodes.machines:
            nodes.wait_ready(node)
            assert 0 == nodes.health(node).returncode
            for url in nodes.machines[node].probes:
                assert "200" == _status(nodes, node, url)
            _look_at(nodes.processes[node].pid)
        _use(nodes, first)
        for node in nodes.machines:  # one after another, as a rolling restart does
            assert nodes.stop(node) < nodes.machines[node].grace_s
            nodes.start(node)
            nodes.wait_ready(node)
        assert "one\ntwo\n" == _read(nodes, first)
        for node in nodes.machines:
            nodes.stop(node)


def _look_at(pid: int) -> None:
    """Nobody, and nothing that it could become."""
    said = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert [str(rooms.USER)] * 4 == said["Uid"].split()
    assert ("0" * 16, "1") == (said["CapEff"], said["NoNewPrivs"])


def _status(nodes: Fleet, node: int, url: str) -> str:
    """Of HTTP, asked by the node's address, and not looking at its certificate, as the kubelet does."""
    ask = "import ssl, sys, urllib.request as r; c = ssl._create_unverified_context()"
    ask += "; print(r.urlopen(sys.argv[1], context=c if sys.argv[1].startswith('https') else None).status)"
    machine = nodes.machines[node]
    done = nodes.rooms[node].run(["python", "-c", ask, url], machine.environment)
    return done.stdout.strip() or done.stderr


def _use(nodes: Fleet, node: int) -> None:
    replicas = str(len(nodes.machines))
    nodes.riverrun(node, "topic", "create", "kept", "--replicas", replicas)
    nodes.riverrun(node, "produce", "kept", stdin="one\ntwo\n")
    assert "one\ntwo\n" == _read(nodes, node)


def _read(nodes: Fleet, node: int) -> str:
    return nodes.riverrun(node, "consume", "kept", "--from", "earliest", "--until", "latest")


def test_the_overlay_stands_between_the_nodes(image: Path, tmp_path: Path):
    """Toxiproxy, by the overlay's own command: nodes find each other over it only; what is cut there is cut."""
    server = find_server()
    if server is None:
        pytest.skip("toxiproxy-server is not here: make toxiproxy")
    files = ("compose.yaml", "compose.chaos.yaml")
    with fleet(compose_machines(*files), image, tmp_path, PROXIES) as nodes:
        service = read_compose(*files)["services"]["toxiproxy"]
        room = nodes.rooms[PROXIES]
        source, target, _ = service["volumes"][0].split(":")
        room.give(target, (rooms.COMPOSE / source).read_text())
        room.binds = {server.parent: "/opt/toxiproxy"}
        words = [f"/opt/toxiproxy/{server.name}", *service["command"]]
        proxies = room.start(words, {"PATH": "/usr/bin"}, log=tmp_path / "toxiproxy.log")
        try:
            for node in nodes.machines:
                nodes.start(node)
            for node in nodes.machines:
                nodes.wait_ready(node)
            _use(nodes, 1)
            _wait_links(nodes, 3, up=2)
            for name in ("peer-1-3", "peer-2-3", "peer-3-1", "peer-3-2"):
                _toggle(nodes, name, enabled=False)
            _wait_links(nodes, 3, up=0)
            for name in ("peer-1-3", "peer-2-3", "peer-3-1", "peer-3-2"):
                _toggle(nodes, name, enabled=True)
            _wait_links(nodes, 3, up=2)
        finally:
            proxies.kill()
            proxies.wait()


def _toggle(nodes: Fleet, name: str, *, enabled: bool) -> None:
    told = f'{{"enabled": {str(enabled).lower()}}}'
    ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], sys.argv[2].encode()).status)"
    machine = nodes.machines[1]
    words = ["python", "-c", ask, f"http://toxiproxy:8474/proxies/{name}", told]
    assert "200\n" == nodes.rooms[1].run(words, machine.environment).stdout


def _wait_links(nodes: Fleet, node: int, *, up: int) -> None:
    """Until the node's log says that it has so many links: what came up, less what went down."""
    deadline = time.monotonic() + PATIENCE_S  # noqa: TID251
    while True:
        said = nodes.log(node).read_text()
        if said.count('"peer_up"') - said.count('"peer_down"') == up:
            return
        assert time.monotonic() < deadline, said[-2000:]  # noqa: TID251
        time.sleep(0.1)
