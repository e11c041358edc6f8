"""Runs actors and background tasks; nothing that fails in them is lost.

An actor that fails is restarted after a growing wait if it was spawned with `Restart`; otherwise, or after too many
failures, the failure is escalated: `on_fatal` ends the process, because a broken invariant must not go on. Background
tasks are escalated at once. `stop` ends everything in the opposite order of its start.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from cluster.actor.actor import Actor
from cluster.actor.mailbox import Mailbox
from cluster.actor.ref import Ref

log_event = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """How to go on after a failure: a fresh actor from `make`, after a wait that doubles, so many times in a row."""

    make: Callable[[], Actor]
    wait_s_min: float = 0.05
    wait_s_max: float = 5.0
    failures_max: int = 10


class Supervisor:
    """Owner of everything that runs in a node."""

    def __init__(self, *, on_fatal: Callable[[BaseException], None]) -> None:
        self._on_fatal = on_fatal
        self._actors: dict[str, tuple[Ref, asyncio.Task[None]]] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._stopping = False

    def spawn(self, actor: Actor, *, mailbox_max: int, restart: Restart | None = None) -> Ref:
        """Start an actor; its name must be free."""
        assert actor.name not in self._actors, f"{actor.name} runs already"
        mailbox = Mailbox(mailbox_max)
        stopping = asyncio.Event()
        name = actor.name
        task = asyncio.create_task(self._live(actor, mailbox, stopping, restart), name=name)

        async def stop() -> None:
            stopping.set()
            mailbox.nudge()
            await asyncio.wait([task])

        ref = Ref(name, mailbox, stop)
        self._actors[name] = (ref, task)
        task.add_done_callback(lambda done: self._ended(name, done))
        return ref

    def spawn_task(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start background work that is cancelled at the stop; its failure is fatal."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._task_ended)
        return task

    def waiting(self) -> Counter[str]:
        """Messages that wait in mailboxes, by the first part of their actors' names."""
        counts: Counter[str] = Counter()
        for name, (ref, _) in self._actors.items():
            counts[name.partition("/")[0]] += ref.waiting
        return counts

    async def stop(self) -> None:
        """Stop actors, the youngest first, then background tasks."""
        self._stopping = True
        for ref, _ in reversed(list(self._actors.values())):
            await ref.stop()
        tasks = list(reversed(list(self._tasks)))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- one actor's life

    async def _live(self, actor: Actor, mailbox: Mailbox, stopping: asyncio.Event, restart: Restart | None) -> None:
        failed: list[Exception] = []
        try:
            while not stopping.is_set():
                try:
                    await self._run(actor, mailbox, stopping, failed)
                except Exception as error:
                    failed.append(error)
                    if restart is None or len(failed) > restart.failures_max:
                        raise
                    wait_s = min(restart.wait_s_min * 2 ** (len(failed) - 1), restart.wait_s_max)
                    log_event.warning("actor_restarts", actor=actor.name, error=repr(error), wait_s=wait_s)
                    await _wait_unless(stopping, wait_s)
                    actor = restart.make()
        finally:
            actor.on_unread(mailbox.close())

    async def _run(self, actor: Actor, mailbox: Mailbox, stopping: asyncio.Event, failed: list[Exception]) -> None:
        """Turn after turn until the stop; a good one clears `failed`, the failures in a row before it."""
        actor.attach(mailbox)
        await actor.on_start()
        try:
            while True:
                await mailbox.wait_any()
                if stopping.is_set():
                    return
                taken = mailbox.take_all()
                try:
                    turn = actor.on_turn(taken)
                    if turn is not None:
                        await turn
                except Exception:
                    actor.on_unread(taken)
                    raise
                failed.clear()
                await asyncio.sleep(0)  # a turn that never waits must still let others have theirs
        finally:
            await actor.on_stop()

    def _ended(self, name: str, task: "asyncio.Task[None]") -> None:
        self._actors.pop(name, None)
        self._escalate(task)

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        self._escalate(task)

    def _escalate(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log_event.critical("failed", what=task.get_name(), error=repr(error), exc_info=error)
            if not self._stopping:
                self._on_fatal(error)


async def _wait_unless(stopping: asyncio.Event, wait_s: float) -> None:
    """Wait so long, or until it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await stopping.wait()
