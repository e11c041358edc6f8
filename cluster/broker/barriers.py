"""Read barriers under way: who asked, and what they get when a majority has confirmed the leadership (thesis §6.4)."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cluster.errors import RiverrunError
from cluster.raft import Raft

T = TypeVar("T")


class Barriers:
    """Callers by the core's barrier id. Each gets called with None when confirmed, or with the error."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self._asked: dict[int, list[Callable[[RiverrunError | None], None]]] = {}

    def ask(self, done: Callable[[RiverrunError | None], None], otherwise: RiverrunError) -> None:
        """Ask the core; `otherwise` is the error if this replica does not lead."""
        barrier = self._raft.read_barrier()
        if barrier is None:
            done(otherwise)
        else:
            self._asked.setdefault(barrier, []).append(done)

    def ask_value(self, reply: "asyncio.Future[T]", value: Callable[[], T], otherwise: RiverrunError) -> None:
        """The same for a future: it gets `value()` as of the confirmation."""
        self.ask(partial(_settle, reply, value), otherwise)

    def confirmed(self, barriers: tuple[int, ...]) -> None:
        """The core confirmed these."""
        for barrier in barriers:
            for done in self._asked.pop(barrier, ()):
                done(None)

    def failed(self, barriers: tuple[int, ...], error: RiverrunError) -> None:
        """The core gave these up."""
        for barrier in barriers:
            for done in self._asked.pop(barrier, ()):
                done(error)

    def fail_all(self, error: RiverrunError) -> None:
        """The replica stops."""
        self.failed(tuple(self._asked), error)


def _settle(reply: "asyncio.Future[T]", value: Callable[[], T], error: RiverrunError | None) -> None:
    if reply.done():
        return
    if error is None:
        reply.set_result(value())
    else:
        reply.set_exception(error)
