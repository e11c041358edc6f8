"""Virtual time: an event loop whose clock jumps to the next timer, and hosts whose work can be dropped or held.

Same seed, same run: the only order that is not given by the code, that of callbacks which are ready at the same time,
is drawn from the seed. Nothing real may be touched: threads, sockets and signals raise.

A `Host` groups what one simulated machine runs. Callbacks carry their host in a context variable; a crash drops them
without running another line of them (no `finally`, as when the power goes), a pause holds them back.
"""

import asyncio
import contextvars
import gc
import heapq
import random
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
CURRENT: contextvars.ContextVar["Host | None"] = contextvars.ContextVar("host", default=None)
HOST = "host"
"""The attribute of a task that says where it is: nobody can ask for its context."""
RESOLUTION_S = 1e-9
"""Timers that are so close go off together."""
TIMERS_MIN = 100
CANCELLED_SHARE = 0.5
"""Of more than so many timers, when more than this share were cancelled, those are dropped (as asyncio does it)."""
EPOCH_NS = 1_700_000_000_000_000_000


class Deadlock(Exception):
    """Everybody waits and no timer is set."""


class Host:
    """One simulated machine: what it runs can be dropped or held."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.failed = False
        """What ran here ended by itself."""
        self.paused_until_s = 0.0
        self.held: list[asyncio.Handle] | None = None
        """What is ready and does not run, while it stands still for nobody knows how long."""

    def crash(self) -> None:
        """The power goes: nothing of this host runs any more. A restart is a new Host."""
        self.alive = False

    def pause(self) -> None:
        """It stands still until `resume`."""
        self.held = [] if self.held is None else self.held

    def resume(self, loop: "SimLoop") -> None:
        """It goes on with what has become ready meanwhile."""
        held, self.held = self.held or [], None
        for handle in held:
            loop.release(handle)

    def run(self, work: Coroutine[Any, Any, T], *, name: str) -> "asyncio.Task[T]":
        """Start work on this host."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, self)
        return asyncio.get_running_loop().create_task(work, name=name, context=context)


class SimLoop(asyncio.SelectorEventLoop):
    """asyncio with virtual time. Uses names of asyncio's that are not public; a determinism test watches them.

    Half of what a simulation does is to go round this loop: it does only what virtual time needs of a round.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.steps = 0
        super().__init__()
        self.unfinished: dict[asyncio.Task[Any], None] = {}
        """Kept until the end: a task of a crashed host that was collected earlier would run its `finally` blocks."""
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(coroutine, loop=loop, context=context)
        setattr(task, HOST, CURRENT.get() if context is None else context.get(CURRENT))
        self.unfinished[task] = None
        task.add_done_callback(lambda done: self.unfinished.pop(done, None))
        return task

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, which looks for mistakes that a simulation would not survive."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if ready:
            handles = [handle for handle in ready if self._may_run(handle)]
            self._shuffle(handles)
            ready.clear()
            ready.extend(handles)
            self.steps += len(handles)
        self._drop_cancelled()
        scheduled = self._scheduled
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not scheduled:
                raise Deadlock(f"at {self.now_s:.6f} s nobody can run and no timer is set")
            self.now_s = max(self.now_s, scheduled[0]._when)  # noqa: SLF001
        end_s = self.now_s + RESOLUTION_S
        while scheduled and scheduled[0]._when < end_s:  # noqa: SLF001
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # noqa: SLF001
            ready.append(handle)
        for _ in range(len(ready)):  # what these make ready is for the next round
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001
                handle._run()  # noqa: SLF001

    def _may_run(self, handle: "asyncio.Handle") -> bool:
        host = handle._context.get(CURRENT)  # type: ignore[attr-defined]  # noqa: SLF001
        if host is None:
            return True
        if not host.alive:
            return False
        if host.paused_until_s > self.now_s:
            self.call_at(host.paused_until_s, self.release, handle)
            return False
        if host.held is not None:
            host.held.append(handle)
            return False
        return True

    def _shuffle(self, handles: "list[asyncio.Handle]") -> None:
        """As `random.shuffle` does it, drawing the same."""
        bits = self.random.getrandbits
        for place in range(len(handles) - 1, 0, -1):
            size = (place + 1).bit_length()
            other = bits(size)
            while other > place:
                other = bits(size)
            handles[place], handles[other] = handles[other], handles[place]

    def _drop_cancelled(self) -> None:
        """Timers that were cancelled: those that come next, or all of them where they are most."""
        scheduled = self._scheduled  # type: ignore[has-type]
        count = len(scheduled)
        if count > TIMERS_MIN and self._timer_cancelled_count / count > CANCELLED_SHARE:  # type: ignore[has-type]
            kept = [handle for handle in scheduled if not handle._cancelled]  # noqa: SLF001
            heapq.heapify(kept)
            self._scheduled = kept
            self._timer_cancelled_count = 0
            return
        while scheduled and scheduled[0]._cancelled:  # noqa: SLF001
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False  # noqa: SLF001

    def release(self, handle: "asyncio.Handle") -> None:
        """It may run now."""
        self._ready.append(handle)  # type: ignore[attr-defined]

    def _check_closed(self) -> None:
        """Coroutines that were dropped end when they are collected: what they then ask of the loop is lost."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Refused."""
        del executor, func, args
        raise RuntimeError("threads are not part of the simulation")


class SimClock:
    """One host's clocks. Its wall clock can be wrong and can jump; its rate can be off."""

    def __init__(self, loop: SimLoop, *, offset_ns: int = 0) -> None:
        self._loop = loop
        self.offset_ns = offset_ns

    def monotonic_s(self) -> float:
        """See World."""
        return self._loop.now_s

    def wall_ns(self) -> int:
        """See World."""
        return EPOCH_NS + int(self._loop.now_s * 1e9) + self.offset_ns


def simulate(work: Coroutine[Any, Any, T], seed: int) -> tuple[T, SimLoop]:
    """Run `work` to its end in virtual time; its result and the loop."""
    loop = SimLoop(seed)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work), loop
    finally:
        _discard(loop)
        asyncio.set_event_loop(None)


def _expect_its_end(task: asyncio.Task[Any]) -> None:
    """It was dropped on purpose, with what it raised: nothing is to be said of it."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    task._log_traceback = False  # noqa: SLF001


def _discard(loop: SimLoop) -> None:
    """Collect what was dropped. Its `finally` blocks run now, in a world that nobody looks at any more."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    asyncio._set_running_loop(loop)  # noqa: SLF001  so that what ends now finds the loop that it lived in
    try:
        while loop.unfinished:  # no variable may hold a task here: through it, all the rest would live on
            _expect_its_end(loop.unfinished.popitem()[0])
        loop._ready.clear()  # type: ignore[attr-defined]  # noqa: SLF001
        loop._scheduled.clear()  # noqa: SLF001
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # work that was dropped before its first step
            gc.collect()
    finally:
        asyncio._set_running_loop(None)  # noqa: SLF001
        sys.unraisablehook = hook
        loop.close()
