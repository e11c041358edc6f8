"""What the controller needs of a replicated log, and the one implementation of it.

Everything that knows PySyncObj is in this folder: `adapter` drives it, `journal` makes it durable, `transport` and
`guards` stand between it and the network. Why each guard is needed stands beside it.
"""

from collections.abc import Callable
from typing import Protocol

from cluster.types import NodeId


class Quorum(Protocol):
    """A small replicated state machine: commands in, applied in one order on every member."""

    def start(self) -> None:
        """Read what is on disk and begin. CorruptStorage if it is damaged: then this member must not run."""

    def tick(self) -> None:
        """Time passes."""

    async def propose(self, command: bytes, *, timeout_s: float) -> bytes:
        """Have a command applied; what its application gave here or at the leader.

        Unavailable: it was surely not applied. OutcomeUnknown: propose it again, with the same number.
        """

    def leader(self) -> NodeId | None:
        """The member that decides now, as far as this one knows."""

    def is_leader(self) -> bool:
        """Whether that is this one."""

    def receive(self, node: NodeId, body: bytes) -> None:
        """A message of another member, in order and at most once per connection."""

    def peer_up(self, node: NodeId) -> None:
        """The link to a member works both ways."""

    def peer_down(self, node: NodeId) -> None:
        """It does not any more."""

    def stop(self) -> None:
        """End."""


Apply = Callable[[bytes], bytes]
