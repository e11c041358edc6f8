"""What an arena lets an operator do with machines, besides breaking them: one more, switched off, wiped, restarted.

Who is in the cluster is changed by the client's own calls (`Client.drain_node`, `remove_node`, `replace_node`); here
are only the machines that they speak of. Every wait has a bound; RuntimeError with a sentence if it was not enough.
"""

from collections.abc import Sequence
from typing import Protocol


class Machines(Protocol):
    """Of one arena."""

    @property
    def on(self) -> Sequence[int]:
        """Nodes that are meant to run: the first ones and those added, without those that were switched off."""
        ...

    async def add(self) -> int:
        """A machine with an empty disk joins: recorded with the cluster, its node started and alive there; its id."""
        ...

    async def switch_off(self, node: int) -> None:
        """Its process ends, and nothing starts it again: no fault's end, no healing. Nothing if it was off."""
        ...

    async def wipe(self, node: int) -> None:
        """Its process is killed and all that its disk held is gone; it stays off."""
        ...

    async def restart(self, node: int) -> None:
        """It is asked to stop, as an operator would, started again, and ready."""
        ...
