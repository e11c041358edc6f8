"""What a client finds out about a cluster's roles; while nobody answers, what was last known stands."""

from collections.abc import Callable, Sequence

from chaos.arenas.arena import Roles
from cluster.client.client import Client
from cluster.errors import RiverrunError

LOOK_S_MAX = 2.0
"""For each question."""


class Watcher:
    """Asks for roles. Topics that are not there (yet) have no leaders."""

    def __init__(self, client: Client, alive: Callable[[], Sequence[int]]) -> None:
        self._client = client
        self._alive = alive
        self._leaders: dict[tuple[str, int], int] = {}
        self._controller: int | None = None
        self._coordinators: dict[str, int] = {}

    async def look(self) -> Roles:
        """As it is now, as far as somebody answered."""
        try:
            view = await self._client.cluster_status(timeout_s=LOOK_S_MAX)
            self._controller = None if view.controller is None else int(view.controller)
            topics = await self._client.list_topics(timeout_s=LOOK_S_MAX)
            self._leaders = {
                (topic.name, partition.number): int(partition.leader)
                for topic in topics
                for partition in topic.partitions
                if partition.leader is not None
            }
            groups = await self._client.list_groups(timeout_s=LOOK_S_MAX)
            self._coordinators = {group.name: int(group.coordinator) for group in groups}
        except (RiverrunError, TimeoutError):
            pass  # what is known stands
        return Roles(dict(self._leaders), self._controller, dict(self._coordinators), list(self._alive()))

    async def topic_ids(self, names: Sequence[str]) -> dict[bytes, str]:
        """Of these topics, as far as they are there, by their ids. RiverrunError if nobody answers."""
        return {bytes(topic.id): topic.name for topic in await self._client.list_topics() if topic.name in names}

    async def close(self) -> None:
        """No more questions."""
        await self._client.abandon()
