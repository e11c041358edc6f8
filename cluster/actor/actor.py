"""What an actor is: a name, a mailbox, and what it does in a turn."""

from collections.abc import Awaitable, Sequence
from typing import Any

from cluster.actor.mailbox import Mailbox


class Actor:
    """The one class here that is meant to be derived from.

    A turn may be a plain method or a coroutine. An exception out of a turn ends the actor: its supervisor decides what
    comes then. Messages that it did not deal with, those of the failed turn among them, are handed to `on_unread`.
    """

    def __init__(self, *, name: str) -> None:
        self.name = name
        self._mailbox: Mailbox | None = None

    async def on_start(self) -> None:
        """Before the first turn."""

    def on_turn(self, messages: Sequence[Any]) -> Awaitable[None] | None:
        """Everything that arrived since the last turn, oldest first."""
        raise AssertionError(f"{self.name} does not say what it does in a turn of {len(messages)} messages")

    async def on_stop(self) -> None:
        """After the last turn, also after one that failed."""

    def on_unread(self, messages: Sequence[Any]) -> None:
        """The actor stopped before it saw these, or failed over them: whoever waits for an answer must be told."""

    def post(self, message: Any) -> None:
        """Leave a message for a turn of one's own; lost without a word once the actor has stopped."""
        if self._mailbox is not None and not self._mailbox.closed:
            self._mailbox.post(message)

    def attach(self, mailbox: Mailbox) -> None:
        """The supervisor's: this is where messages arrive."""
        self._mailbox = mailbox
