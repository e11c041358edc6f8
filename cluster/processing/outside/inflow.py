"""What a source reads ahead of its works: a few batches, and then it waits until they are taken.

A peer that is away is tried again, after longer and longer waits; whoever takes is told of it, and of everything new,
by `on_change`, which is called on the connectors' thread.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable

from cluster.connectors.contract import Arrived, Progress, Source
from cluster.errors import RiverrunError, Unreachable
from cluster.processing.outside.background import Background, broken

AHEAD_MAX = 4
"""Batches that were read and not taken; a batch is about 1 MiB at most."""
AGAIN_S_MIN, AGAIN_S_MAX = 0.5, 30.0
CLOSE_S_MAX = 3.0


class Inflow:
    """Of one share of a source, from one cursor on. Its methods are called on the host's own thread."""

    def __init__(
        self, source: Source, cursor: bytes | None, *, background: Background, on_change: Callable[[], None], what: str
    ) -> None:
        self.trouble = ""
        """Why nothing comes just now, in a sentence."""
        self.ended = False
        self._source = source
        self._background = background
        self._on_change = on_change
        self._what = what
        self._lock = threading.Lock()
        self._ready: deque[Arrived] = deque()
        self._failure: RiverrunError | None = None
        self._taken = asyncio.Event()
        self._confirmed: bytes | None = None
        self._confirming = asyncio.Event()
        self._running = [background.start(self._read(cursor)), background.start(self._confirm())]

    @property
    def is_ready(self) -> bool:
        """There is something to take, or to be raised."""
        return bool(self._ready) or self._failure is not None

    def progress(self) -> Progress | None:
        """See Source."""
        return self._source.progress()

    def take(self, records_max: int) -> list[Arrived]:
        """What is there, in its order, up to about so many records. InvalidRoute: it reads no more."""
        taken: list[Arrived] = []
        count = 0
        with self._lock:
            while self._ready and (not taken or count + len(self._ready[0].records) <= records_max):
                taken.append(self._ready.popleft())
                count += len(taken[-1].records)
        if not taken and self._failure is not None:
            raise self._failure
        self._background.loop.call_soon_threadsafe(self._taken.set)
        return taken

    def committed(self, cursor: bytes) -> None:
        """Everything up to there is committed; the peer is told soon, of the newest one alone."""
        self._confirmed = cursor
        self._background.loop.call_soon_threadsafe(self._confirming.set)

    def close(self) -> None:
        """Read no more, and let go of the peer."""
        for running in self._running:
            running.cancel()
        with contextlib.suppress(Exception):
            self._background.wait(self._source.close(), CLOSE_S_MAX, self._what)

    async def _read(self, cursor: bytes | None) -> None:
        again_s = AGAIN_S_MIN
        while True:
            try:
                arrived = await self._source.read(cursor)
            except Unreachable as error:
                self._say(error.message)
                await asyncio.sleep(again_s)
                again_s = min(again_s * 2, AGAIN_S_MAX)
                continue
            except Exception as error:  # noqa: BLE001  a connector's fault is the stage's, which stops and says so
                self._fail(error if isinstance(error, RiverrunError) else broken(self._what, error))
                return
            again_s = AGAIN_S_MIN
            cursor = arrived.cursor
            with self._lock:
                self._ready.append(arrived)
                self.trouble = ""
            self._on_change()
            if arrived.ended:
                return
            while len(self._ready) >= AHEAD_MAX:
                self._taken.clear()
                await self._taken.wait()

    async def _confirm(self) -> None:
        """A peer that is away is told when it is back: by `read`, or the next time."""
        while True:
            await self._confirming.wait()
            self._confirming.clear()
            cursor = self._confirmed
            assert cursor is not None, "it is set before the event"
            try:
                await self._source.committed(cursor)
            except Unreachable as error:
                self._say(error.message)
                await asyncio.sleep(AGAIN_S_MIN)
                self._confirming.set()
            except Exception as error:  # noqa: BLE001  as above
                self._fail(error if isinstance(error, RiverrunError) else broken(self._what, error))
                return

    def _say(self, trouble: str) -> None:
        self.trouble = trouble
        self._on_change()

    def _fail(self, error: RiverrunError) -> None:
        self._failure = error
        self._on_change()
