"""What the controller needs of a replicated log, and the one implementation of it.

Everything that knows PySyncObj is in this folder: `adapter` drives one configuration of it, `journal` makes it durable,
`transport` and `guards` stand between it and the network; why each guard is needed stands beside it. `configurations`
takes a node from one configuration to the next, and makes no difference between a member and a node that is none:
that one follows (`following`) what members tell it (`serving`).
"""

from typing import Protocol

from cluster.metadata import QuorumConfiguration
from cluster.types import NodeId


class Fold(Protocol):
    """What commands fold into: on every node the same, after the same number of them."""

    def apply(self, command: bytes) -> bytes:
        """One command further; never raises for one that was checked."""

    def encode(self) -> bytes:
        """All of it."""

    def restore(self, data: bytes) -> None:
        """Become what was encoded, be it older."""

    def applied(self) -> int:
        """Of how many commands it is the fold, since the cluster began."""

    def quorum(self) -> QuorumConfiguration:
        """Who decides, by the last seal in it."""


class Quorum(Protocol):
    """A small replicated state machine: commands in, applied in one order on every node."""

    def start(self) -> None:
        """Read what is on disk and begin. CorruptStorage if it is damaged: then this node must not run."""

    def tick(self) -> None:
        """Time passes."""

    async def propose(self, command: bytes, *, timeout_s: float) -> bytes:
        """Have a command applied; what its application gave at whoever answers.

        Unavailable: it was surely not applied. OutcomeUnknown: propose it again, with the same number.
        """

    def leader(self) -> NodeId | None:
        """The member that decides now, as far as this one knows: it was heard of lately."""

    def is_leader(self) -> bool:
        """Whether that is this one."""

    def members(self) -> tuple[NodeId, ...]:
        """Who they are, by the newest configuration heard of."""

    def weight(self) -> tuple[int, int]:
        """How many entries the journal holds that a start replays, in how many bytes; (0, 0) where there is none."""

    def receive(self, node: NodeId, number: int, body: bytes) -> None:
        """A message of another node, in order and at most once per connection. `number`: the configuration's, or 0."""

    def peer_up(self, node: NodeId) -> None:
        """The link to a node works both ways."""

    def peer_down(self, node: NodeId) -> None:
        """It does not any more."""

    def stop(self) -> None:
        """End."""
