"""What asyncio says of failures that nobody took: real ones are told, those of the simulation are none.

- `SimCrash`: the power went in the middle of a job. Who did the job is dead, and nobody is there to take it.
- Whatever ends when the run is over: the simulation drops everything that still goes on, and what waits on it.
"""

import asyncio
import gc
from typing import Any

from cluster.sim.disk import SimCrash


class Dropped:
    """Of one simulation's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._over = False
        loop.set_exception_handler(self._told)

    def over(self) -> None:
        """Tell of what was forgotten so far; from now on things are dropped on purpose."""
        gc.collect()
        self._over = True

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._over and not isinstance(context.get("exception"), SimCrash):
            loop.default_exception_handler(context)
