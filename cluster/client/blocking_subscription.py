"""A member of a group for those who have no event loop: the blocking twin of `Subscription`, with its rules.

A record is processed when the next one is asked for, when it is committed, or when the `with` block is left without an
exception. One that nobody was given (its wait was interrupted) is given next, and never committed before.
"""

import contextlib
import functools
import threading
import weakref
from collections.abc import Iterator
from typing import Self

from cluster.client.background import Background
from cluster.client.decoding import ReadBatch, ReadRecord
from cluster.client.subscription import Subscription
from cluster.errors import Closed
from cluster.types import Offset


class BlockingSubscription(Iterator[ReadRecord]):
    """Made by `BlockingClient.subscribe`. Iterate over records, or over `batches()` for speed; not both at once.

    Each record is asked for in the background, so that it is processed when `Subscription` would say so: some ten
    thousand a second; `batches()` is for more. When nobody holds it any more it leaves the group, too.
    """

    def __init__(self, background: Background, subscription: Subscription) -> None:
        self._background = background
        self._subscription = subscription
        self._turn = threading.Lock()
        self._waiting: ReadRecord | ReadBatch | None = None
        """What came and was not given to anybody yet."""
        self._closed = False
        self._finalizer = weakref.finalize(
            self, background.tell, functools.partial(subscription.close, processed=False)
        )
        self._finalizer.atexit = False

    def __next__(self) -> ReadRecord:
        record = self._take()
        assert isinstance(record, ReadRecord), "records or batches, not both at once"
        return record

    def batches(self) -> Iterator[ReadBatch]:
        """The records in lists, as they arrived; a list is processed when the next one is asked for."""
        while True:
            batch = self._take(in_batches=True)
            assert isinstance(batch, ReadBatch), "records or batches, not both at once"
            yield batch

    def _take(self, *, in_batches: bool = False) -> ReadRecord | ReadBatch:
        with self._turn:
            if self._closed:
                raise Closed("the subscription was closed")
            if self._waiting is None:
                self._background.ask(self._next_batch if in_batches else self._next_record)
            taken, self._waiting = self._waiting, None
            assert taken is not None
            return taken

    async def _next_record(self) -> None:
        self._waiting = await anext(self._subscription)

    async def _next_batch(self) -> None:
        async with contextlib.aclosing(self._subscription.batches()) as batches:
            self._waiting = await anext(batches)

    def commit(self, *, timeout_s: float | None = None) -> None:
        """All that was given out is processed; return when that is on a majority's disks: see `Subscription.commit`."""
        self._background.ask(lambda: self._subscription.commit(timeout_s=timeout_s, processed=self._waiting is None))

    @property
    def assignment(self) -> frozenset[tuple[str, int]]:
        """The partitions, by topic and number, that are this member's now."""
        return self._background.ask_now(lambda: self._subscription.assignment)

    @property
    def positions(self) -> dict[tuple[str, int], Offset]:
        """By topic and number, the offset behind what was processed here; of what is this member's now."""
        return self._background.ask_now(lambda: self._subscription.positions)

    def close(self, *, processed: bool = True) -> None:
        """Commit what is processed and hand everything over; whoever waits for a record gets Closed.

        `processed`: what was given last is, too.
        """
        self._closed = True
        self._finalizer.detach()
        self._background.ask(lambda: self._subscription.close(processed=processed and self._waiting is None))

    def abandon(self) -> None:
        """Leave without a word: the group waits for this member for its grace."""
        self._closed = True
        self._finalizer.detach()
        self._background.ask(self._subscription.abandon)

    def __enter__(self) -> Self:
        self._background.ask(self._subscription.open)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close(processed=kind is None)
