"""Calling an async function: many records at once, those of one key one after another.

`concurrency` bounds the calls that are under way. Results are put in the order of the records, so what comes out does
not depend on who was faster. A work ends when all of its calls have; one that raises ends the others.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from cluster.processing.binding import Binding, element, is_many, view_of
from cluster.processing.calling import Arguments, Surroundings
from cluster.processing.context import Ctx
from cluster.processing.draft import Draft, Part
from cluster.processing.work import Fired

T = TypeVar("T")


class Loop:
    """An event loop, made when it is first wanted.

    All runners of a process have one: a client, or a lock, that one call has made is of its loop, and all may use it.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, calls: Coroutine[Any, Any, T]) -> T:
        """Until they are done."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return _apart(partial(self._runner.run, calls))

    def close(self) -> None:
        """What was left on it ends."""
        if self._runner is not None:
            _apart(self._runner.close)
            self._runner = None


def _apart(work: Callable[[], T]) -> T:
    """Here, or, where this thread's loop is running (a notebook, an async test), in another one."""
    if asyncio._get_running_loop() is None:  # noqa: SLF001  the public one raises
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class AsyncCalls:
    """The operator of an async function. Each key has handles of its own, so calls do not see each other's."""

    knows_place = True

    def __init__(
        self,
        binding: Binding,
        concurrency: int,
        surroundings: Surroundings,
        ctx_at: Callable[[Draft], Ctx],
        event: Any,
        loop: Loop,
    ) -> None:
        self._binding = binding
        self._concurrency = concurrency
        self._surroundings = surroundings
        self._ahead = surroundings.arguments(binding)
        self._draft = surroundings.draft
        self._ctx_at = ctx_at
        self._view = view_of(binding.leading[0], event)
        self._raw = element(binding.leading[0]) is bytes
        self._many = is_many(binding.leading[0])
        self.knows_place = not self._many
        self._loop = loop

    def take(self, part: Part, first: int, end: int) -> None:
        """Call the function for the records from `first` to before `end`, and wait for all."""
        self._draft.at_record(part, first)
        drafts = self._loop.run(self._all(part, first, end))
        for place in sorted(drafts):
            self._draft.adopt(drafts[place])

    def fire(self, fired: Fired) -> None:
        """Async functions have no timers."""
        raise AssertionError(f"timer {fired.name!r} of an async function")

    async def _all(self, part: Part, first: int, end: int) -> dict[int, Draft]:
        room = asyncio.Semaphore(self._concurrency)
        drafts: dict[int, Draft] = {}
        chains: dict[object, list[int]] = defaultdict(list)
        if self._many:
            chains[None].append(end - 1)
        else:
            for place in range(first, end):
                key = part.keys[place]
                chains[place if key is None else key].append(place)
            self._ahead.columns([key for key in part.keys[first:end] if key is not None])  # their state in one call
        try:
            async with asyncio.TaskGroup() as group:
                for places in chains.values():
                    group.create_task(self._chain(part, places, (first, end), room, drafts))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        cancelled = {place for places in chains.values() for place in places} - drafts.keys()
        if cancelled:  # who cancels a call ends it and what is behind it of its key, and tells nobody
            self._draft.place = min(cancelled)
            raise RuntimeError("the call was cancelled (asyncio.CancelledError)")
        return drafts

    async def _chain(
        self, part: Part, places: list[int], span: tuple[int, int], room: asyncio.Semaphore, drafts: dict[int, Draft]
    ) -> None:
        """The records of one key, one after another."""
        given = part.columns.values if self._raw else part.events
        draft = self._draft.branch()
        arguments: Arguments = self._surroundings.branch(draft, self._ctx_at(draft)).arguments(self._binding)
        for place in places:
            async with room:
                draft.at_record(part, place)
                self._draft.reached = max(self._draft.reached, place + 1)
                try:
                    event = self._view(given[span[0] : span[1]]) if self._many else given[place]
                    handles = arguments.at(None if self._many else part.keys[place])
                    result = await self._binding.function(event, *handles)
                    if result is not None:
                        draft.emit_result(result)
                except Exception:
                    self._draft.place = place
                    raise
                drafts[place] = draft.split()
