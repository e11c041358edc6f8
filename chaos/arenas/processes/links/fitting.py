"""The fitting: a proxy for every link, what is wanted of each, and a server that does it.

`_toxics` and `_refused` say what is wanted; a change is written there first and then asked of the server, one change
after the other. A server that does not answer, or has ended, is replaced by a new one, which gets everything that is
wanted: so a change that got no answer is done by then.
"""

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.fitting import Launch, Nodes
from chaos.arenas.processes.links.control import CALL_S_MAX, Control, Received, Toxic
from chaos.arenas.processes.links.errors import (
    NotThere,
    ServerFailed,
    TooSlow,
    ToxiproxyError,
    Unreachable,
)
from chaos.arenas.processes.links.injectors import injectors
from chaos.arenas.processes.links.plan import OTHERS, Link, Way, plan_later, plan_links, rewired
from chaos.arenas.processes.links.ports import PortBlock
from chaos.arenas.processes.links.server import Server, find_server
from cluster.config import NodeConfig

log_event = structlog.get_logger()

COUNTED_S_MAX = 5.0
LOOK_S = 0.05
PROXY_SETTINGS = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
"""gRPC would reach loopback through HTTP_PROXY, too."""
LOOPBACK = "127.0.0.1,localhost,::1"


class Links:
    """See Fitting. Its faults are those of `injectors.py`."""

    call_s_max = CALL_S_MAX
    """A server that takes longer for an answer hangs."""

    def __init__(self, program: Path | None = None) -> None:
        """Of Toxiproxy's server; without it, it is looked for. Its log goes beside the nodes' folders."""
        self.links: Sequence[Link] = ()
        self.restarts = 0
        """Servers that had to be replaced."""
        self._program = program or find_server()
        self._nodes: Nodes | None = None
        self._ports: list[PortBlock] = []
        self._later: set[int] = set()
        """Nodes that came later."""
        self._api_port = 0
        self._log = Path()
        self._server: Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._toxics: dict[str, dict[str, Toxic]] = {}
        self._refused: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._broken = ""

    @property
    def server_pid(self) -> int | None:
        """The server's process, if it runs."""
        return self._server.pid if self._server is not None else None

    def missing(self) -> str:
        """See Fitting."""
        if self._program is None or not self._program.exists():
            return "Toxiproxy's server is not here: make toxiproxy"
        return ""

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting; RuntimeError if the server or a proxy of it does not start: then nothing is left."""
        if missing := self.missing():
            raise RuntimeError(missing)
        self._nodes, self._api_port = nodes, self._port()
        launches = nodes.launches
        self._log = next(iter(launches.values())).folder.parent / "toxiproxy.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self.links = plan_links([launches[node].config for node in sorted(launches)], self._address)
        self._toxics = {link.name: {} for link in self.links}
        try:
            self._server = await self._start()
        except BaseException:
            self._close_ports()
            raise
        self._watching = asyncio.create_task(self._watch(), name="toxiproxy")
        for launch in launches.values():
            self._rewire(launch)
        return injectors(self)

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    def fronted(self, config: NodeConfig) -> NodeConfig:
        """See Fronting: those that are there reach it at one address, and so do clients."""
        client, peer = (replace(one, advertise=self._address()) for one in (config.client, config.peer))
        return replace(config, client=client, peer=peer)

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting; `fronted` has seen its configuration. RuntimeError if a proxy is not to be had."""
        assert self._nodes is not None, "it was fitted"
        others = [self._nodes.launches[node].config for node in self.nodes if node != launch.node]
        links = plan_later(launch.config, others, self._address)

        def want() -> None:
            self._later.add(launch.node)
            self.links = [*self.links, *links]
            self._toxics |= {link.name: {} for link in links}

        await self._change(
            want,
            lambda control: [control.create(link.name, listen=link.listen, upstream=link.upstream) for link in links],
        )
        self._rewire(launch)

    def _rewire(self, launch: Launch) -> None:
        launch.config = rewired(launch.config, self.links)
        for setting in PROXY_SETTINGS:
            known = launch.environment.get(setting, os.environ.get(setting, ""))
            launch.environment[setting] = f"{known},{LOOPBACK}" if known else LOOPBACK

    @property
    def nodes(self) -> Sequence[int]:
        """Those that are meant to run, now."""
        return sorted(self._nodes.on) if self._nodes is not None else []

    def _address(self) -> str:
        return f"127.0.0.1:{self._port()}"

    def _port(self) -> int:
        try:
            return self._ports[-1].take()
        except (IndexError, RuntimeError):
            self._ports.append(PortBlock())
            return self._ports[-1].take()

    def _close_ports(self) -> None:
        for block in self._ports:
            block.close()
        self._ports.clear()

    async def remove(self) -> Mapping[str, int]:
        """See Fitting. RuntimeError if nothing went over a link that nodes must have used: they went around it."""
        if self._server is None:
            return {}
        received: Mapping[str, Received] = {}
        try:
            received = await self._count()
        except ToxiproxyError as error:
            self._broken = self._broken or str(error)
        finally:
            await self._end()
        if self._broken:
            raise RuntimeError(self._broken)
        if silent := self._silent(received):
            raise RuntimeError(f"nothing went over {', '.join(silent)}, though their nodes ran: they go around it")
        return self._figures(received)

    # --- what injectors ask for

    async def impose(self, where: Iterable[tuple[Link, str]], kind: str, attributes: Mapping[str, int]) -> Mend:
        """Put a toxic on these streams of these links; RuntimeError if it is not to be had."""
        number = next(self._numbers)
        imposed = [
            (link.name, Toxic(name=f"{kind}-{number}-{stream}", type=kind, stream=stream, attributes=attributes))
            for link, stream in where
        ]

        def want() -> None:
            for name, toxic in imposed:
                self._toxics[name][toxic.name] = toxic

        def forget() -> None:
            for name, toxic in imposed:
                del self._toxics[name][toxic.name]

        async def mend() -> None:
            await self._change(forget, lambda control: [_remove(control, name, toxic) for name, toxic in imposed])

        try:
            await self._change(want, lambda control: [control.add(name, toxic) for name, toxic in imposed])
        except ToxiproxyError:
            await mend()
            raise
        return mend

    async def refuse(self, links: Collection[Link]) -> Mend:
        """Close what goes over these links, and refuse new connections; RuntimeError if it is not to be had."""
        names = [link.name for link in links]

        async def mend() -> None:
            await self._change(
                lambda: self._refused.subtract(names),
                lambda control: [control.enable(name) for name in names if not self._refused[name]],
            )

        try:
            await self._change(
                lambda: self._refused.update(names), lambda control: [control.disable(name) for name in names]
            )
        except ToxiproxyError:
            await mend()
            raise
        return mend

    async def _change(self, want: Callable[[], None], calls: "_Calls") -> None:
        """Want something else, and make the calls that bring it about."""
        async with self._changing:
            if self._broken:
                raise RuntimeError(self._broken)
            server = self._server
            assert server is not None, "it was fitted"
            want()
            errors = await _all(calls(server.control))
            if any(isinstance(error, Unreachable | TooSlow | ServerFailed) for error in errors):
                await self._replace(server)
            elif errors:
                raise errors[0]

    # --- the server

    async def _start(self) -> Server:
        assert self._program is not None, "it is not missing"
        server = Server(self._program, port=self._api_port, log=self._log, call_s_max=self.call_s_max)
        await server.start()
        try:
            for link in self.links:
                await server.control.create(link.name, listen=link.listen, upstream=link.upstream)
                for toxic in self._toxics[link.name].values():
                    await server.control.add(link.name, toxic)
                if self._refused[link.name]:
                    await server.control.disable(link.name)
        except BaseException:
            await server.end()
            raise
        return server

    async def _replace(self, server: Server) -> None:
        """Another one in its place."""
        log_event.warning("toxiproxy_replaced", pid=server.pid)
        self.restarts += 1
        await server.kill()
        try:
            self._server = await self._start()
        except RuntimeError as error:
            self._broken = f"Toxiproxy's server could not be replaced: {error}"
            raise

    async def _watch(self) -> None:
        while not self._broken:
            server = self._server
            assert server is not None, "it was fitted"
            await server.ended()
            async with self._changing:
                if self._server is server:
                    with contextlib.suppress(RuntimeError):  # whoever asks next is told
                        await self._replace(server)

    async def _end(self) -> None:
        assert self._watching is not None, "it was fitted"
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        async with self._changing:
            assert self._server is not None, "it was fitted"
            await self._server.end()
            self._server = None
        self._close_ports()

    # --- what went over the links

    async def _count(self) -> Mapping[str, Received]:
        """A connection is counted when it has ended: nodes have, so this takes a moment at most."""
        assert self._server is not None, "it was fitted"
        control = self._server.control
        received = await control.received()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNTED_S_MAX):
                while self._silent(received):
                    await asyncio.sleep(LOOK_S)
                    received = await control.received()
        return received

    def _silent(self, received: Mapping[str, Received]) -> list[str]:
        """Links that must have been used, and were not."""
        ran = self._ran()
        peers = [link for link in self.links if link.way is Way.PEER]
        must = [link for link in peers if {link.viewer, link.node} <= ran and link.viewer not in self._later]
        must += [link for link in peers if link.viewer == OTHERS and link.node in ran]
        silent = [link.name for link in must if not _both_ways(received.get(link.name, Received()))]
        for node in self._later & ran:  # whom it met of the others depends on who was off then
            own = [link.name for link in peers if link.viewer == node]
            if not any(_both_ways(received.get(name, Received())) for name in own):
                silent += own
        clients = [link.name for link in self.links if link.way is Way.CLIENT]
        if ran and not any(_both_ways(received.get(name, Received())) for name in clients):
            silent += clients
        return silent

    def _ran(self) -> set[int]:
        """Nodes that were ready once, as they say themselves."""
        assert self._nodes is not None, "it was fitted"
        ran = set()
        for node, launch in self._nodes.launches.items():
            log = launch.folder / "node.log"
            if log.exists() and b"node_ready" in log.read_bytes():
                ran.add(node)
        return ran

    def _figures(self, received: Mapping[str, Received]) -> Mapping[str, int]:
        figures = {"links": len(self.links), "link_server_restarts": self.restarts}
        for way in Way:
            over = [received.get(link.name, Received()) for link in self.links if link.way is way]
            figures[f"{way.value}_link_bytes"] = sum(one.upstream + one.downstream for one in over)
        return figures


_Calls = Callable[[Control], Sequence[Awaitable[object]]]


async def _remove(control: Control, name: str, toxic: Toxic) -> None:
    with contextlib.suppress(NotThere):  # it never was: of those that were wanted together another was refused
        await control.remove(name, toxic.name)


async def _all(calls: Sequence[Awaitable[object]]) -> list[ToxiproxyError]:
    """Make them at once; the errors. Others than these are raised."""
    errors = []
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, ToxiproxyError):
            errors.append(result)
        elif isinstance(result, BaseException):
            raise result
    return errors


def _both_ways(received: Received) -> bool:
    return bool(received.upstream and received.downstream)
