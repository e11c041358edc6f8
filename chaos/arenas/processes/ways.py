"""How this process reaches nodes that have addresses which it cannot reach itself."""

from collections.abc import Mapping

from cluster.world import Channel, Listener, Network, Route


class Ways:
    """A Network: addresses that have another way are reached by it, all others as ever."""

    def __init__(self, inner: Network, ways: Mapping[str, str]) -> None:
        self._inner = inner
        self._ways = ways

    async def listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> Listener:
        """See Network."""
        return await self._inner.listen(address, routes, public=public)

    def channel(self, address: str) -> Channel:
        """See Network."""
        return self._inner.channel(self._ways.get(address, address))
