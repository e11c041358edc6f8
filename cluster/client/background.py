"""A client on an event loop in a thread of its own, for those who have no loop.

Any thread may ask; who asks waits, can be interrupted (Ctrl-C takes back what was asked), and is never left waiting:
what is unanswered when the client ends gets Closed. A forked child has no such thread, and inside a running event loop
waiting would stop that loop: both are refused.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import warnings
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from cluster.client.client import Client
from cluster.errors import Closed, DeadlineExceeded, InvalidRequest

P = ParamSpec("P")
T = TypeVar("T")
Future = concurrent.futures.Future
EXIT_S_MAX = 5.0
"""At the end of the process, for leaving without a word."""


class Background:
    """The thread, its loop and its client, which is made and opened there."""

    def __init__(self, make: Callable[[], Client]) -> None:
        _refuse_inside_a_loop()
        self._make = make
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._lock = threading.RLock()  # a collected reader tells, wherever that happens
        self._closing = False
        self._asked: set[Future[object]] = set()
        self._opened: Future[Client] = Future()
        self._thread = threading.Thread(target=self._run, name="riverrun client", daemon=True)
        self._thread.start()
        try:
            self.client = self._opened.result()
        except BaseException:
            self.leave()
            raise

    # --- asking

    def blocking(self, function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
        """The same function for those who wait for it here."""

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> T:
            return self.ask(lambda: function(*arguments, **named))

        return call

    def ask(self, work: Callable[[], Awaitable[T]], timeout_s: float | None = None) -> T:
        """What `work` returns or raises, run on the loop; DeadlineExceeded after `timeout_s`, if that is not None."""

        async def run() -> T:
            return await work()

        return self._wait(self._submit(lambda: asyncio.run_coroutine_threadsafe(run(), self._loop)), timeout_s)

    def ask_now(self, work: Callable[[], T]) -> T:
        """The same for what needs no waiting."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  raised where it was asked
                _settle(future, error)
            else:
                _settle(future, result)

        def submit() -> Future[T]:
            self._loop.call_soon_threadsafe(run)
            return future

        return self._wait(self._submit(submit), None)

    def tell(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run it some time, if there still is a client; nobody waits for it."""

        def run() -> None:
            task = self._loop.create_task(_as_coroutine(work))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

        if os.getpid() != self._process:
            return
        with self._lock, contextlib.suppress(RuntimeError):  # the loop has ended
            if not self._closing:
                self._loop.call_soon_threadsafe(run)

    def _submit(self, submit: Callable[[], "Future[T]"]) -> "Future[T]":
        if os.getpid() != self._process:
            raise InvalidRequest("this client was connected before the process was forked: connect again in the child")
        _refuse_inside_a_loop()
        with self._lock:
            if self._closing:
                raise Closed("the client was closed")
            future = submit()
            self._asked.add(future)  # type: ignore[arg-type]  # whatever it is of
        future.add_done_callback(self._asked.discard)
        return future

    @staticmethod
    def _wait(future: "Future[T]", timeout_s: float | None) -> T:
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise Closed("the client was closed") from None
        except TimeoutError:
            if future.done():
                return future.result()  # in the last moment; or it is its own error
            future.cancel()
            raise DeadlineExceeded(f"it did not end within {timeout_s} s, and may still") from None
        except BaseException as error:
            answered = not future.cancel()  # interrupted; of no effect where it has its answer
            if not answered and isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None  # it came in a moment that `threading.Condition` cannot stand
            raise

    # --- the end

    def close(self) -> None:
        """Close the client as it closes, and end the thread. Of no effect in a forked child, and when it is closed."""
        if os.getpid() != self._process:
            return
        with self._lock:
            first, self._closing = not self._closing, True
        if not first:
            self._thread.join()
            return
        try:
            self._wait(asyncio.run_coroutine_threadsafe(self.client.close(), self._loop), None)
        finally:
            self._end()

    def abandon(self) -> None:
        """Leave at once, and end the thread. Of no effect in a forked child."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._closing = True
        self._end()

    def leave(self, unclosed: str = "") -> None:
        """The same for nobody's sake: the owner is gone, or never was. Waits only a little."""
        if os.getpid() != self._process or self._closing:
            return
        self._closing = True
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(EXIT_S_MAX)
        if unclosed:
            warnings.warn(unclosed, ResourceWarning, stacklevel=2)

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        for future in list(self._asked):  # what came too late for the loop
            future.cancel()

    # --- in the thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        try:
            client = self._make()
        except BaseException as error:  # noqa: BLE001  raised where the client was asked for
            self._opened.set_exception(error)
            return
        try:
            await client.open()
        except BaseException as error:  # noqa: BLE001  as above
            await client.abandon()
            self._opened.set_exception(error)
            return
        self._opened.set_result(client)
        await self._stop.wait()
        await client.abandon()


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _settle(future: "Future[T]", outcome: T | Exception) -> None:
    if not future.set_running_or_notify_cancel():
        return  # whoever asked was interrupted
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise InvalidRequest(
        "a blocking client would stop the event loop that runs here: use `async with connect(…)`, or another thread"
    )
