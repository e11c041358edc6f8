"""Where user code runs, as a task sees it: it hands over works and gets effects, whatever is behind that.

A real node has a process for each file of code, which its tasks share; an external worker is one elsewhere; the
simulator runs the code in its own process. User code that raises is an answer (ProcessorFailed, StateUnreadable); user
code that ends its process, hangs or takes too much memory is HostFailed for all who share it, and nothing else here is
disturbed. Whoever got HostFailed opens a new host, and waits as long as that takes: restarts are spaced out there.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cluster.errors import HostFailed
from cluster.processing.snapshot import Place
from cluster.processing.spec import ProcessorSpec
from cluster.processing.work import Effects, Work

ReadState = Callable[[Sequence[Place]], Awaitable[list[bytes | None]]]
"""Committed values of keyed state, in the order of the places; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFile:
    """User code: one Python file or a wheel, by its name; `app`: what the app is called in it ("": the only one)."""

    name: str
    app: str
    content: bytes

    @property
    def sha256(self) -> bytes:
        """What it is known by."""
        return hashlib.sha256(self.content).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which task of which stage: see `Runner`. `app`: the app's name, by which external workers are found.

    `alone`: its stage has a process of its own, and it may speak without being asked (see `Host.on_word`): sources and
    sinks. `identity`: the name of this task, in this deployment, to the world outside: of 100 characters at most.
    """

    app: str = ""
    stage: str
    version: int
    task: int
    tasks: int
    partitions: int
    alone: bool = False
    identity: str = ""


class Word(NamedTuple):
    """What a source or a sink says without being asked."""

    ready: bool
    """A work, even with nothing in it, has a point now."""
    trouble: str = ""
    """Why nothing comes, or goes, just now; "": all is well."""
    progress: tuple[str, int, int] | None = None
    """Of what has an end: what it is, how much of it is done, and of how much (0: not known)."""


class Host(Protocol):
    """A task's runner. One `run` at a time; after any error but ProcessorFailed and StateUnreadable it is closed."""

    on_end: Callable[[HostFailed], None]
    """Told when the process is gone while no work of this task is in hand; does nothing until somebody sets it."""
    on_word: Callable[[Word], None]
    """Likewise, of what an `alone` seat says."""

    async def run(self, work: Work) -> Effects:
        """Do a work. ProcessorFailed, StateUnreadable: as `Runner.run`. HostFailed: its process is gone."""

    def committed(self, n: int) -> None:
        """See `Runner.committed`."""

    def close(self, *, forget: bool = False) -> None:
        """The task does not need it any more; `forget`: nor will it ever, for it was removed."""


class Hosts(Protocol):
    """All processes with user code of one node."""

    async def describe(self, code: CodeFile) -> list[ProcessorSpec]:
        """What is defined in the file. InvalidApp: it does not import, or contradicts itself; HostFailed."""

    async def open(self, code: CodeFile, seat: Seat, read_state: ReadState, *, external: bool) -> Host:
        """A runner for a task; waits while its process is held back after failures, or for an external worker.

        InvalidApp: the file does not import here, or has no such stage. HostFailed: the process ended at its start.
        """

    def trouble(self, code: CodeFile) -> str:
        """Why the code does not run just now, in a sentence; empty: nothing is known."""

    async def close(self) -> None:
        """End them all."""
