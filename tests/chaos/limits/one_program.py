"""Nodes that are a small program of ours, started as their launches say: it does what it is told and says what it saw.

A line of Python comes in, its value goes out as JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.arenas.arena import Injector
from chaos.arenas.processes.fitting import Launch
from cluster.config import ListenerConfig, NodeConfig

PROGRAM = """
import json, sys
from tests.chaos.limits.inside import *
for line in sys.stdin:
    try:
        value = eval(line)
    except BaseException as error:
        value = repr(error)
    print(json.dumps(value), flush=True)
"""


class Programs:
    """See `chaos.arenas.processes.fitting.Nodes`."""

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        self.injectors: Mapping[str, Injector] = {}
        address = ListenerConfig(bind="127.0.0.1:1")
        self.launches = {
            node: Launch(
                node,
                folder / f"node-{node}",
                NodeConfig(
                    cluster_id="", node=node, data_dir=str(folder / "data"), client=address, peer=address, peers=()
                ),
            )
            for node in range(1, nodes + 1)
        }
        self.may_end: set[int] = set()
        self._processes: dict[int, subprocess.Popen[str]] = {}

    def pid(self, node: int) -> int | None:
        """See Nodes."""
        process = self._processes.get(node)
        return process.pid if process is not None and process.poll() is None else None

    async def start(self, node: int) -> None:
        """See Nodes."""
        if self.pid(node) is None:
            self._close(node)
            launch = self.launches[node]
            self._processes[node] = subprocess.Popen(  # noqa: ASYNC220  it is there at once
                [*launch.before, sys.executable, "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **launch.environment},
            )

    def ask(self, expression: str, node: int = 1) -> Any:
        """The value of an expression in the program; None if it ended meanwhile."""
        self.tell(expression, node)
        return self.answer(node)

    def tell(self, expression: str, node: int = 1) -> None:
        """Ask without waiting for the answer."""
        stdin = self._processes[node].stdin
        assert stdin is not None
        stdin.write(expression + "\n")
        stdin.flush()

    def answer(self, node: int = 1) -> Any:
        """To the oldest question that has none yet."""
        stdout = self._processes[node].stdout
        assert stdout is not None
        said = stdout.readline()
        return json.loads(said) if said else None

    async def kill(self, node: int) -> None:
        """See Nodes."""
        if self.pid(node) is not None:
            self._processes[node].kill()
            self._processes[node].wait()

    async def terminate(self, node: int) -> None:
        """See Nodes."""
        await self.kill(node)

    def expect_end(self, node: int) -> None:
        """See Nodes."""
        self.may_end.add(node)

    def expect_no_end(self, node: int) -> None:
        """See Nodes."""
        self.may_end.discard(node)

    def note(self, node: int, what: str) -> None:
        """See Nodes."""

    def stop(self) -> None:
        """All of them are gone."""
        for node in list(self._processes):
            self._close(node)

    def _close(self, node: int) -> None:
        process = self._processes.get(node)
        if process is not None:
            process.kill()
            process.communicate()

    def code(self, node: int = 1) -> int:
        """How it ended."""
        return self._processes[node].wait(timeout=10)
