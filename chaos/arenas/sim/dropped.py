"""What asyncio says of failures that nobody took: real ones are told, those of the simulation are none.

- `SimCrash`: the power went in the middle of a job. Who did the job is dead, and nobody is there to take it.
- What failed on a host that was killed: whoever would have looked is gone.
- Whatever ends when the run is over: the simulation drops everything that still goes on, and what waits on it.
"""

import asyncio
import gc
from typing import Any

from cluster.sim.clock import HOST
from cluster.sim.disk import SimCrash


class Dropped:
    """Of one simulation's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._over = False
        self._sentences: list[str] = []
        loop.set_exception_handler(self._told)

    def sentences(self) -> list[str]:
        """Of the tasks that failed until now, and nobody looked."""
        gc.collect()
        return list(self._sentences)

    def over(self) -> None:
        """Tell of what was forgotten so far; from now on things are dropped on purpose."""
        gc.collect()
        self._over = True

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, task = context.get("exception"), context.get("future")
        if self._over or isinstance(error, SimCrash):
            return
        if isinstance(task, asyncio.Task):
            host = getattr(task, HOST, None)
            if host is not None and not host.alive:
                return
            if error is not None:
                self._sentences.append(f"{context.get('message')}: {error!r}")
        loop.default_exception_handler(context)
