"""What the controller's commands fold into on one node, and whom its changes are told.

A version of the metadata is the same on every node, so versions told never go back: where the state is taken from an
earlier point of the log again (`quorum/configurations.py`), what was told already is not told twice; where it jumps
ahead, all there is is told.
"""

import asyncio
from collections.abc import Callable

from cluster.controller.commands import decode_proposal, encode
from cluster.controller.state import MetadataState
from cluster.metadata import Delta, QuorumConfiguration


class Folding:
    """See `quorum.Fold`."""

    def __init__(self) -> None:
        self.state = MetadataState()
        self.changed = asyncio.Event()
        """Replaced, and the old one set, with every command."""
        self._told = 0
        self._subscribers: list[Callable[[Delta], None]] = []

    def subscribe(self, subscriber: Callable[[Delta], None]) -> None:
        """Everything there is, now, and every change from now on."""
        self._subscribers.append(subscriber)
        self._told = max(self._told, self.state.version)
        subscriber(self.state.everything())

    def apply(self, command: bytes) -> bytes:
        """See Fold."""
        answer, delta = self.state.apply(decode_proposal(command))
        if delta is not None:
            self._tell(delta)
        self._wake()
        return encode(answer)

    def encode(self) -> bytes:
        """See Fold."""
        return self.state.encode()

    def restore(self, data: bytes) -> None:
        """See Fold."""
        self.state.restore(data)
        self._tell(self.state.everything())
        self._wake()

    def applied(self) -> int:
        """See Fold."""
        return self.state.applied

    def quorum(self) -> QuorumConfiguration:
        """See Fold."""
        return self.state.quorum

    def _tell(self, delta: Delta) -> None:
        if delta.version > self._told:
            self._told = delta.version
            for subscriber in self._subscribers:
                subscriber(delta)

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
