"""What tasks need of the world beside what every node has: where state is kept, and where user code runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from cluster.processing.hosts import Hosts
from cluster.processing.store import Store
from cluster.world import Route

T = TypeVar("T")


class Stores(Protocol):
    """Stores of tasks, in the directories of their replicas, and the thread on which they are used."""

    def open(self, directory: str, owner: str) -> Store:
        """The store of a replica's directory, which is made if it is not there. CorruptStorage, DiskFull. Blocks."""

    def remove(self, directory: str) -> None:
        """Throw a closed store away. Blocks."""

    def bytes_in(self, directory: str) -> int:
        """What the store of a replica's directory takes now."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work of stores off the event loop, one at a time, in the order asked."""

    def soon(self, work: Callable[[], object]) -> None:
        """The same for whoever does not wait for it; what it raises is lost."""

    async def close(self) -> None:
        """The node stops; what was asked for is done before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """A world's part in processing. `routes`: what its hosts serve on the client listener, for external workers."""

    hosts: Hosts
    stores: Stores
    routes: Mapping[str, Route] = field(default_factory=dict)
