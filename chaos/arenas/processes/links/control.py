"""What is done with one Toxiproxy server: proxies, toxics, bytes counted. Never blocks the loop; all has a bound.

All methods raise ToxiproxyErrors (errors.py). After Unreachable and TooSlow it is not known whether it was done.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from toxiproxy.exceptions import ProxyExists

from chaos.arenas.processes.links.api import Api, library_of
from chaos.arenas.processes.links.errors import AlreadyThere, TooSlow

CALL_S_MAX = 3.0
T = TypeVar("T")
_RECEIVED = re.compile(r"^toxiproxy_proxy_received_bytes_total\{(?P<labels>[^}]*)\} (?P<bytes>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """One toxic of one proxy. `stream`: `upstream` is what the connecting side sends, `downstream` what it gets."""

    name: str
    type: str
    stream: str
    attributes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that a proxy got, of connections that have ended: Toxiproxy counts each when it ends."""

    upstream: int = 0
    downstream: int = 0


class Control:
    """One server, by its API."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", call_s_max: float = CALL_S_MAX) -> None:
        self.port = port
        self._api = Api(host, port, timeout_s=call_s_max)
        library = library_of(self._api)
        self._toxiproxy, self._proxy_class = library.toxiproxy(), library.proxy
        self._call_s_max = call_s_max

    async def version(self) -> str:
        """Such as "2.12.0"."""
        return str((await self._call(self._api.get, "/version")).json()["version"])

    async def create(self, name: str, *, listen: str, upstream: str) -> str:
        """A proxy that takes connections; where it listens: with port 0 the machine has chosen."""
        try:
            proxy = await self._call(self._toxiproxy.create, upstream, name, listen)
        except ProxyExists as error:  # the library has looked for itself
            raise AlreadyThere(f"Toxiproxy has a proxy {name!r} already") from error
        return str(proxy.listen)

    async def proxies(self) -> dict[str, bool]:
        """Of each proxy whether it takes connections."""
        found = await self._call(self._toxiproxy.proxies)
        return {name: bool(proxy.enabled) for name, proxy in found.items()}

    async def destroy(self, name: str) -> None:
        """Its connections are closed."""
        await self._call(lambda: self._proxy(name).destroy())

    async def enable(self, name: str) -> None:
        """Take connections again."""
        await self._call(lambda: self._proxy(name).enable())

    async def disable(self, name: str) -> None:
        """Close its connections, and refuse new ones."""
        await self._call(lambda: self._proxy(name).disable())

    async def toxics(self, name: str) -> dict[str, Toxic]:
        """Those of a proxy."""
        found = await self._call(lambda: self._proxy(name).toxics())
        return {
            toxic.name: Toxic(name=toxic.name, type=toxic.type, stream=toxic.stream, attributes=toxic.attributes)
            for toxic in found.values()
        }

    async def add(self, name: str, toxic: Toxic) -> None:
        """From now on, for connections that are there, too (`reset_peer` only closes those)."""
        given = {"type": toxic.type, "stream": toxic.stream, "name": toxic.name, "attributes": dict(toxic.attributes)}
        await self._call(lambda: self._proxy(name).add_toxic(**given))

    async def update(self, name: str, toxic: str, **attributes: int) -> None:
        """Other attributes, without a moment in which there are none."""
        await self._call(self._api.patch, f"/proxies/{name}/toxics/{toxic}", {"attributes": attributes})

    async def remove(self, name: str, toxic: str) -> None:
        """It is gone, and so is each connection from which it had taken something (`timeout`)."""
        await self._call(lambda: self._proxy(name).destroy_toxic(toxic))

    async def received(self) -> dict[str, Received]:
        """Of each proxy that had connections, all of which or some have ended. The server runs with -proxy-metrics."""
        text = (await self._call(self._api.get, "/metrics")).text
        found: dict[str, dict[str, int]] = {}
        for line in _RECEIVED.finditer(text):
            labels = dict(_LABEL.findall(line["labels"]))
            found.setdefault(labels["proxy"], {})[labels["direction"]] = int(float(line["bytes"]))
        return {name: Received(**directions) for name, directions in found.items()}

    def _proxy(self, name: str) -> Any:
        return self._proxy_class(name=name, upstream="", listen="", enabled=True)  # only its name counts

    async def _call(self, work: Callable[..., T], *given: Any) -> T:
        try:
            async with asyncio.timeout(3 * self._call_s_max):  # some take two requests
                return await asyncio.to_thread(work, *given)
        except TimeoutError as error:
            raise TooSlow(f"Toxiproxy did not answer within {3 * self._call_s_max} s") from error
