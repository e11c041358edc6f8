"""A cluster of node processes on this machine: `riverrun dev`, the demo, the benchmark and the process tests run it.

Node i of 1 … n listens on consecutive ports: clients on port + i - 1, peers on port + 100 + i - 1, HTTP on
port + 200 + i - 1. Everything is below one data directory, so that the same directory starts the same cluster again.
"""

import contextlib
import dataclasses
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from cluster.cli.config_file import read_config, write_config
from cluster.config import (
    ListenerConfig,
    NodeConfig,
    PeerConfig,
    ProcessingOptions,
    Speaks,
    TlsConfig,
    TlsOptions,
)
from cluster.errors import RefusedToStart
from cluster.types import ClusterId

PEER_PORT_STEP = 100
HTTP_PORT_STEP = 200
TLS_DIRECTORY = "tls"
PORT_MAX = 65_535
STOP_S_MAX = 10.0


class LocalCluster:
    """Configurations below `data_dir`, and the processes started from them."""

    def __init__(
        self,
        data_dir: Path,
        *,
        nodes: int = 3,
        port: int = 7171,
        host_environment: tuple[str, ...] = (),
        speaks: Speaks = "plain",
    ) -> None:
        """`host_environment`: see ProcessingOptions. `speaks`: to clients; but for plain text, nodes have TLS, too."""
        if not 1 <= nodes <= PEER_PORT_STEP:
            raise RefusedToStart(f"a local cluster has 1 to {PEER_PORT_STEP} nodes, not {nodes}")
        self.data_dir = data_dir.resolve()
        self.nodes = list(range(1, nodes + 1))
        self.port = port
        self._host_environment = host_environment
        self._speaks = speaks
        self.tls: TlsOptions | None = None
        """What clients connect with; None: plain text."""
        self.program: tuple[str, ...] = ("-m", "cluster.cli")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._prepare()

    @property
    def addresses(self) -> list[str]:
        """Where clients reach the nodes."""
        return [self.address(node) for node in self.nodes]

    def address(self, node: int) -> str:
        """Where clients reach one node."""
        return f"127.0.0.1:{self.port + node - 1}"

    def http_address(self, node: int) -> str:
        """Where one node takes HTTP."""
        return f"127.0.0.1:{self.port + HTTP_PORT_STEP + node - 1}"

    def http_url(self, node: int) -> str:
        """The same, as a URL."""
        return f"{'http' if self.tls is None else 'https'}://{self.http_address(node)}"

    def log_path(self, node: int) -> Path:
        """Where a node's log goes."""
        return self.data_dir / f"node-{node}" / "node.log"

    def pid(self, node: int) -> int | None:
        """The node's process, if it runs."""
        process = self._processes.get(node)
        return process.pid if process is not None and process.poll() is None else None

    def start(self, node: int) -> None:
        """Start one node in a process of its own; it may take a moment until it answers."""
        assert self.pid(node) is None, f"node {node} runs already"
        with self.log_path(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(  # noqa: S603  our own interpreter and our own file
                [*self._command(node)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for whoever runs the cluster, not for its nodes
            )

    def _command(self, node: int) -> list[str]:
        """Its log says everything: this is a developer's cluster."""
        path = str(self.config_path(node))
        return [sys.executable, *self.program, "node", "--config", path, "--log-level", "debug"]

    def start_all(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            if self.pid(node) is None:
                self.start(node)

    def kill(self, node: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL the process is gone when this returns."""
        process = self._processes[node]
        process.send_signal(how)
        if how is signal.SIGKILL:
            process.wait()

    def stopped(self) -> dict[int, int]:
        """Nodes that were started and do not run any more, with their exit codes."""
        codes = {node: process.poll() for node, process in self._processes.items()}
        return {node: code for node, code in codes.items() if code is not None}

    def stop(self) -> dict[int, int]:
        """End every node, gracefully within a bound, then by force; the exit codes."""
        for process in self._processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.terminate()
        deadline = time.monotonic() + STOP_S_MAX  # noqa: TID251  no world here: this is outside of the cluster
        codes = {}
        for node, process in self._processes.items():
            try:
                codes[node] = process.wait(max(deadline - time.monotonic(), 0.01))  # noqa: TID251
            except subprocess.TimeoutExpired:
                process.kill()
                codes[node] = process.wait()
        self._processes.clear()
        return codes

    def last_words(self, node: int, lines: int = 5) -> str:
        """The end of a node's log, for messages."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path(node).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def why_ended(self, node: int) -> str:
        """The sentence that a node said last, if it was one; else the end of its log."""
        last = self.last_words(node, 1)
        return last if last.startswith("riverrun: ") else self.last_words(node)

    def check_ports(self) -> None:
        """RefusedToStart if a node cannot have one of its ports; with a word about how to get others."""
        for bind in (
            bind for of in (self.address, self._peer_address, self.http_address) for bind in map(of, self.nodes)
        ):
            host, _, port = bind.rpartition(":")
            others = (
                f"choose another --port (a node has one, one {PEER_PORT_STEP} above, and one {HTTP_PORT_STEP} above)"
            )
            if not 0 < int(port) <= PORT_MAX:
                raise RefusedToStart(f"{port} is no port: {others}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, int(port)))
                except PermissionError:
                    raise RefusedToStart(f"port {port} is not for every user: {others}") from None
                except OSError:
                    raise RefusedToStart(
                        f"{bind} is in use: if this cluster runs already, stop it; if another program does, {others}"
                    ) from None

    # --- configurations

    def config_path(self, node: int) -> Path:
        """What a node is started with."""
        return self.data_dir / f"node-{node}" / "node.toml"

    def _prepare(self) -> None:
        """Write the configurations, or, for a directory that was used before, check that they still fit."""
        first = self.config_path(1)
        if first.exists():
            known = read_config(first)
            if len(known.peers) != len(self.nodes):
                raise RefusedToStart(
                    f"{self.data_dir} holds a cluster of {len(known.peers)} nodes; "
                    f"start it with --nodes {len(known.peers)}, or choose another --data-dir"
                )
            cluster_id = known.cluster_id
        else:
            cluster_id = secrets.token_hex(16)
        if self._speaks != "plain":
            from cluster.cli.certificates import make_certificates  # noqa: PLC0415  most clusters do without

            self.tls = make_certificates(
                self.data_dir / TLS_DIRECTORY, ClusterId(bytes.fromhex(cluster_id)), self.nodes
            )
        for node in self.nodes:
            path = self.config_path(node)
            path.parent.mkdir(parents=True, exist_ok=True)
            config = self._config(node, cluster_id)
            if path.exists():  # what somebody has written there besides, such as limits, stays
                where = {name: getattr(config, name) for name in ("data_dir", "client", "peer", "http", "peers", "tls")}
                config = dataclasses.replace(read_config(path), **where)
            write_config(config, path)
            path.chmod(0o600)

    def _config(self, node: int, cluster_id: str) -> NodeConfig:
        return NodeConfig(
            cluster_id=cluster_id,
            node=node,
            data_dir=str(self.data_dir / f"node-{node}" / "data"),
            client=ListenerConfig(bind=self.address(node)),
            peer=ListenerConfig(bind=self._peer_address(node)),
            http=ListenerConfig(bind=self.http_address(node)),
            tls=None if self.tls is None else self._tls(node),
            processing=ProcessingOptions(host_environment=self._host_environment),
            peers=tuple(
                PeerConfig(node=other, peer=self._peer_address(other), client=self.address(other))
                for other in self.nodes
            ),
        )

    def _tls(self, node: int) -> TlsConfig:
        files = self.data_dir / TLS_DIRECTORY
        return TlsConfig(
            cert_file=str(files / f"node-{node}.crt"),
            key_file=str(files / f"node-{node}.key"),
            ca_file=str(files / "ca.crt"),
            client=self._speaks,
        )

    def _peer_address(self, node: int) -> str:
        return f"127.0.0.1:{self.port + PEER_PORT_STEP + node - 1}"
