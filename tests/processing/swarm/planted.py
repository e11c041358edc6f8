"""Bugs that can be planted in tasks, so that it is known that the seeds would find them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cluster.processing.applying import Applying
from cluster.processing.shipping import Shipping
from cluster.processing.tasks.working import Working
from cluster.types import Index

take = Shipping.take
propose = Working._propose


def trims_unshipped(applying: Applying) -> Index:
    """The log goes as soon as the store is durable, shipped or not."""
    return min(applying.index, applying._store.flushed)


def trims_unflushed(applying: Applying) -> Index:
    """The log goes as soon as it is applied, durable or not."""
    return min(applying.index, applying.ledger.trim_limit(applying.index))


def settles_when_sent(shipping: Shipping) -> Any:
    """What was sent counts as arrived."""
    sends = take(shipping)
    for send in sends:
        shipping.received(send)
    return sends


async def forgets_when_proposed(working: Working, work: Any, effects: Any) -> None:
    """The runner is told that a commit is in the store when it is only on its way."""
    n = working._tip.n + 1
    await propose(working, work, effects)
    working._host.committed(n)


def refusal_unnoticed(working: Working, n: int, reply: Any) -> None:
    """What was refused is not noticed."""
    del n
    working.replies.discard(reply)
    if not reply.cancelled():
        reply.exception()


BUGS = {
    "trims_unshipped": (Applying, "trim_limit", trims_unshipped),
    "trims_unflushed": (Applying, "trim_limit", trims_unflushed),
    "settles_when_sent": (Shipping, "take", settles_when_sent),
    "forgets_when_proposed": (Working, "_propose", forgets_when_proposed),
    "refusal_unnoticed": (Working, "_decided", refusal_unnoticed),
}


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """With that bug, or without any."""
    if not bug:
        yield
        return
    where, name, wrong = BUGS[bug]
    with patch.object(where, name, wrong):
        yield
