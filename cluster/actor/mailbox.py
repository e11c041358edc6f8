"""A bounded queue of messages for one actor.

`put` waits while it is full, `put_nowait` refuses. `post` is for what the actor itself has under way (the disk's
answers, its own timers): it is bounded by what the actor asked for, so it is never refused.
"""

import asyncio
from collections import deque
from typing import Any

from cluster.errors import Closed, Overloaded


class Mailbox:
    """Messages in the order of their arrival, at most `messages_max` from others."""

    def __init__(self, messages_max: int) -> None:
        assert messages_max > 0
        self._max = messages_max
        self._messages: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._room: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    async def put(self, message: Any) -> None:
        """Wait for room, then leave the message; Closed if the actor stopped."""
        while len(self._messages) >= self._max and not self._closed:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(room)
            await room
        self.put_nowait(message)

    def put_nowait(self, message: Any) -> None:
        """Leave the message; Overloaded if there is no room, Closed if the actor stopped."""
        if len(self._messages) >= self._max and not self._closed:
            raise Overloaded(f"the mailbox holds {self._max} messages already")
        self.post(message)

    def post(self, message: Any) -> None:
        """Leave a message of the actor's own; never refused for want of room."""
        if self._closed:
            raise Closed("the actor has stopped")
        self._messages.append(message)
        self._arrived.set()

    async def wait_any(self) -> None:
        """Return when something is there, or the mailbox was closed."""
        await self._arrived.wait()

    def nudge(self) -> None:
        """Wake whoever waits for messages, though none came."""
        self._arrived.set()

    def take_all(self) -> list[Any]:
        """Everything that arrived, oldest first; whoever waited for room may go on."""
        taken = list(self._messages)
        self._messages.clear()
        if not self._closed:
            self._arrived.clear()
        for room in self._room:
            if not room.done():
                room.set_result(None)
        self._room.clear()
        return taken

    def close(self) -> list[Any]:
        """Refuse everything from now on; what was not taken comes back."""
        self._closed = True
        self._arrived.set()
        return self.take_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be left here."""
        return self._closed
