"""Machines of a cluster of real processes: see `chaos.arenas.machines`."""

from collections.abc import Sequence
from typing import NoReturn


class FixedMachines:
    """As many as there were at first: each call says so. To be replaced by machines that come and go."""

    def __init__(self, on: Sequence[int]) -> None:
        self.on = on

    async def add(self) -> int:
        """See Machines."""
        self._refuse()

    async def switch_off(self, node: int) -> None:
        """See Machines."""
        del node
        self._refuse()

    async def wipe(self, node: int) -> None:
        """See Machines."""
        del node
        self._refuse()

    async def restart(self, node: int) -> None:
        """See Machines."""
        del node
        self._refuse()

    @staticmethod
    def _refuse() -> NoReturn:
        raise RuntimeError("the machines of this arena neither come nor go")
