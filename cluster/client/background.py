"""A client on an event loop in a thread of its own, for those who have no loop.

Any thread may ask; who asks waits, can be interrupted (Ctrl-C takes back what was asked), and is never left waiting:
what is unanswered when the client ends gets Closed. A forked child has no such thread, and inside a running event loop
waiting would stop that loop: both are refused.

Whoever asks waits in C code, and takes no lock that is written in Python: Ctrl-C comes at any time, and
`threading.Condition`, of which the futures of the standard library are made, keeps its lock for good where it is
interrupted as it takes it. The loop's thread would wait for that lock for ever.
"""

import asyncio
import contextlib
import os
import threading
import warnings
from collections.abc import Awaitable, Callable
from functools import wraps
from queue import Empty, SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

from cluster.client.client import Client
from cluster.errors import Closed, DeadlineExceeded, InvalidRequest

P = ParamSpec("P")
T = TypeVar("T")
EXIT_S_MAX = 5.0
"""At the end of the process, for leaving without a word."""


class _Answer(Generic[T]):
    """What somebody waits for: given on the loop's thread, taken by whoever asked."""

    __slots__ = ("_box", "_task", "taken")

    def __init__(self) -> None:
        self.taken = False
        self._box: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._task: asyncio.Task[T] | None = None

    def give(self, result: T) -> None:
        self._box.put((result, None))

    def fail(self, error: BaseException) -> None:
        self._box.put((None, error))

    def give_what_comes_of(self, task: "asyncio.Task[T]") -> None:
        """When it is done; or Closed where it was cancelled."""
        self._task = task
        task.add_done_callback(self._settle)

    def take_back(self) -> None:
        """Nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()

    def take(self, timeout_s: float | None) -> T:
        """Wait for it. Empty: not within that time."""
        result, error = self._box.get(timeout=timeout_s if timeout_s is None else max(timeout_s, 0.0))
        self.taken = True
        if error is None:
            return result  # type: ignore[return-value]  # which may be None
        try:
            raise error
        finally:
            del error  # it holds this frame

    def _settle(self, task: "asyncio.Task[T]") -> None:
        self._task = None  # it holds its error, whose traceback holds this
        error = _closed() if task.cancelled() else task.exception()
        if error is None:
            self.give(task.result())
        else:
            self.fail(error)


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
        self._close: asyncio.Task[None] | None = None
        self._asked: set[_Answer[Any]] = set()
        self._opened: _Answer[Client] = _Answer()
        self._thread = threading.Thread(target=self._run, name="riverrun client", daemon=True)
        try:
            self._thread.start()  # interrupted here, the thread may never begin: nothing waits for it then
            self.client = self._opened.take(None)
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
        answer: _Answer[T] = _Answer()
        return self._ask(answer, lambda: self._begin(work, answer), timeout_s)

    def ask_now(self, work: Callable[[], T]) -> T:
        """The same for what needs no waiting."""
        answer: _Answer[T] = _Answer()

        def run() -> None:
            self._asked.discard(answer)
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  raised where it was asked
                answer.fail(error)
            else:
                answer.give(result)

        return self._ask(answer, run, None)

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

    def _ask(self, answer: _Answer[T], start: Callable[[], None], timeout_s: float | None) -> T:
        """Have it started on the loop, and wait for it; who is interrupted takes it back."""
        if os.getpid() != self._process:
            raise InvalidRequest("this client was connected before the process was forked: connect again in the child")
        _refuse_inside_a_loop()
        try:
            with self._lock:
                if self._closing:
                    raise _closed()
                self._submit(answer, start)
            return answer.take(timeout_s)
        except Empty:
            raise DeadlineExceeded(f"it did not end within {timeout_s} s, and may still") from None
        finally:
            if not answer.taken:
                self._asked.discard(answer)
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(answer.take_back)

    def _submit(self, answer: _Answer[Any], start: Callable[[], None]) -> None:
        self._asked.add(answer)  # first: whatever is there when the loop has ended is told so
        try:
            self._loop.call_soon_threadsafe(start)
        except RuntimeError:  # it has
            raise _closed() from None

    def _begin(self, work: Callable[[], Awaitable[T]], answer: _Answer[T]) -> None:
        """On the loop's thread."""
        task = self._loop.create_task(_as_coroutine(work))
        answer.give_what_comes_of(task)
        task.add_done_callback(lambda _: self._asked.discard(answer))

    # --- the end

    def close(self) -> None:
        """Close the client as it closes, and end the thread; several may. Interrupted, it is left at once.

        Of no effect in a forked child, and when it is closed.
        """
        if os.getpid() != self._process:
            return
        answer: _Answer[None] = _Answer()
        try:
            with self._lock:
                self._closing = True
            with contextlib.suppress(Closed):  # it has ended
                self._submit(answer, lambda: self._begin_to_close(answer))
                answer.take(None)
        finally:
            self._end()

    def _begin_to_close(self, answer: _Answer[None]) -> None:
        """On the loop's thread: once, however many ask for it."""
        if self._close is None:
            self._close = self._loop.create_task(_as_coroutine(self.client.close))
        answer.give_what_comes_of(self._close)

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
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(EXIT_S_MAX)
        if unclosed:
            warnings.warn(unclosed, ResourceWarning, stacklevel=2)

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live())
        finally:
            for answer in [self._opened, *self._asked]:  # what came too late for the loop
                answer.fail(_closed())

    async def _live(self) -> None:
        try:
            client = self._make()
        except BaseException as error:  # noqa: BLE001  raised where the client was asked for
            self._opened.fail(error)
            return
        try:
            await client.open()
        except BaseException as error:  # noqa: BLE001  as above
            await client.abandon()
            self._opened.fail(error)
            return
        self._opened.give(client)
        await self._stop.wait()
        await client.abandon()


async def _as_coroutine(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _closed() -> Closed:
    return Closed("the client was closed")


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise InvalidRequest(
        "a blocking client would stop the event loop that runs here: use `async with connect(…)`, or another thread"
    )
