"""How others reach an actor: tell it something, or ask and wait for the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cluster.actor.mailbox import Mailbox
from cluster.errors import DeadlineExceeded

T = TypeVar("T")


class Ref:
    """A handle that outlives its actor: after the stop everything raises Closed."""

    __slots__ = ("_mailbox", "_stop", "name")

    def __init__(self, name: str, mailbox: Mailbox, stop: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._mailbox = mailbox
        self._stop = stop

    async def tell(self, message: Any) -> None:
        """Leave a message, waiting while the mailbox is full."""
        await self._mailbox.put(message)

    def tell_nowait(self, message: Any) -> None:
        """Leave a message; Overloaded if the mailbox is full."""
        self._mailbox.put_nowait(message)

    async def ask(self, message_with: "Callable[[asyncio.Future[T]], Any]", *, timeout_s: float) -> T:
        """Leave the message made with a reply future, and wait for its answer; DeadlineExceeded after `timeout_s`."""
        reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._mailbox.put(message_with(reply))
                return await reply
        except TimeoutError:
            raise DeadlineExceeded(f"{self.name} did not answer within {timeout_s} s") from None

    async def stop(self) -> None:
        """End the actor after the turn that runs; return when it has stopped."""
        await self._stop()

    @property
    def waiting(self) -> int:
        """Messages that no turn has taken yet."""
        return len(self._mailbox)
