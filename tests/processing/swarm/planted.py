"""Bugs that can be planted in tasks, so that it is known that the seeds would find them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cluster.processing.applying import Applying
from cluster.processing.shipping import Shipping
from cluster.types import Index

take = Shipping.take


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


BUGS = {
    "trims_unshipped": (Applying, "trim_limit", trims_unshipped),
    "trims_unflushed": (Applying, "trim_limit", trims_unflushed),
    "settles_when_sent": (Shipping, "take", settles_when_sent),
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
