"""Seats: a client of a workload that may vanish in the middle of its work, and whoever comes after it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from chaos.workloads.load import Load
from cluster.client.client import Client
from cluster.config import ClientOptions

Work = Callable[[Client, str], Awaitable[None]]
"""What a client does, and as which process: until the load stops, or it vanishes."""


class Seat:
    """A block that a client works in: where it vanishes the block just ends, and `vanished` says so.

    What the process had under way is then `info`. Its name is never used again.
    """

    def __init__(self, load: Load, client: Client, *, place: str, process: str) -> None:
        self.vanished = False
        self._load = load
        self._client = client
        self._place = load.place(place)
        self._process = process
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._load.arena.seats.take(self._place, self._client, self._kill)
        return self

    def _kill(self) -> None:
        assert self._task is not None, "somebody sits here"
        self.vanished = True
        self._load.vanished(self._process)
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del error, trace
        if not self.vanished:
            self._load.arena.seats.leave(self._place)
            return False
        assert self._task is not None, "somebody sat here"
        return self._task.uncancel() == 0 and kind is asyncio.CancelledError


async def keep_seat(load: Load, place: str, process: str, work: Work, options: ClientOptions | None = None) -> None:
    """Until the load stops: one client, and for each that has vanished another one, as another process."""
    lives = 1
    name = process
    while not load.stopping:
        client = load.client(place, options)
        with Seat(load, client, place=place, process=name) as seat:
            await work(client, name)
        if not seat.vanished:
            await client.abandon()
            return
        lives += 1
        name = f"{process}.{lives}"
