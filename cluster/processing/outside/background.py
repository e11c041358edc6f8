"""An event loop in a thread of its own, for connectors, beside a host's blocking loop."""

import asyncio
import threading
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from cluster.errors import InvalidRoute, RiverrunError, Unreachable

T = TypeVar("T")
END_S_MAX = 5.0
"""For what is under way when it is closed."""


class Background:
    """One loop, until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="connectors", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Let it run; its future belongs to the caller's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def wait(self, work: Coroutine[Any, Any, T], seconds_max: float, what: str) -> T:
        """Run it and wait for it. Unreachable, naming `what`: it takes longer than that, and was cancelled.

        InvalidRoute: it raised what a connector does not raise.
        """
        running = self.start(_within(work, seconds_max))
        try:
            return running.result()
        except RiverrunError:
            raise
        except TimeoutError as error:
            raise Unreachable(f"{what} takes longer than {seconds_max:g} s") from error
        except Exception as error:
            raise broken(what, error) from error
        except BaseException:
            running.cancel()
            raise

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], object]:
        """Call that on the loop's thread after so long; what is returned cancels it."""
        return self.start(_after(seconds, call)).cancel

    def close(self) -> None:
        """End what runs on it, and then it."""
        ending = self.start(_cancel_all())
        try:
            ending.result(END_S_MAX)
        except TimeoutError:
            return  # the thread ends with the process
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(END_S_MAX)
        if not self._thread.is_alive():
            self.loop.close()


def broken(what: str, error: Exception) -> InvalidRoute:
    """A connector's fault, which is no record's: the stage stops and says so."""
    trace = "".join(traceback.format_exception(error))
    return InvalidRoute(f"{what}: its connector failed: {type(error).__name__}: {error}", traceback=trace)


async def _after(seconds: float, call: Callable[[], None]) -> None:
    await asyncio.sleep(seconds)
    call()


async def _within(work: Coroutine[Any, Any, T], seconds_max: float) -> T:
    async with asyncio.timeout(seconds_max):
        return await work


async def _cancel_all() -> None:
    me = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not me]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
