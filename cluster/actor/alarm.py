"""A sleep that somebody may end: for loops that look at intervals, and at once where something has happened.

A ring is not lost: if nobody sleeps, the next sleep is none. Several of them are one.
"""

import asyncio


class Alarm:
    """Of one sleeper, and of whoever on its loop has news."""

    def __init__(self) -> None:
        self._rung = False
        self._sleeping: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """End the sleep, or the next one."""
        self._rung = True
        if self._sleeping is not None:
            _end(self._sleeping)

    async def sleep(self, seconds: float) -> bool:
        """Return after so long, or when it rings; whether it has since the last return."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._sleeping = loop.create_future()
            timer = loop.call_later(seconds, _end, self._sleeping)
            try:
                await self._sleeping
            finally:
                timer.cancel()
        rung, self._rung = self._rung, False
        return rung


def _end(sleeping: "asyncio.Future[None]") -> None:
    if not sleeping.done():
        sleeping.set_result(None)
