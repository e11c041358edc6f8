"""The fitting: nodes in namespaces of their own, and clients that reach them through a place among those.

Nodes listen on, and tell, addresses that exist in the run's namespaces only; it takes `insecure = true`. Whoever wants
to talk to them from the machine's own namespace does it through a relay (`Launch.ways`); a process that is started in
`names.space(CLIENTS)` needs nothing of the kind.

A fitting that gives nodes addresses of its own, as proxies on loopback do, cannot be fitted beside this one.
"""

import dataclasses
import itertools
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chaos.arenas.arena import Injector
from chaos.arenas.processes.fitting import Launch, Nodes
from chaos.arenas.processes.netspace.control import Control, Wiring
from chaos.arenas.processes.netspace.injectors import injectors
from chaos.arenas.processes.netspace.namespaces import Names, find_ip, why_not
from chaos.arenas.processes.netspace.tables import Tables, find_nft
from cluster.config import ListenerConfig, PeerConfig

CLIENT_PORT, PEER_PORT, HTTP_PORT = 7171, 7271, 7371
"""The same on every node: each has a namespace of its own."""
_runs = itertools.count(1)


class NetSpace:
    """See Fitting. `wiring`: a switch that can do everything to packets, or a bridge at the kernel's own speed."""

    def __init__(self, *, seed: int = 0, wiring: Wiring = "switch") -> None:
        self._seed = seed
        self._wiring = wiring
        self._names: Names | None = None
        self._control: Control | None = None
        self._tables: Tables | None = None

    def missing(self) -> str:
        """See Fitting."""
        if find_ip() is None:
            return "the tool `ip` is missing (Debian's package iproute2)"
        if self._wiring == "switch" and not Path("/dev/net/tun").exists():
            return "this system has no TUN devices (/dev/net/tun)"
        return why_not()

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting. RuntimeError if namespaces cannot be made."""
        names = self._names = Names.of(os.getpid(), next(_runs), tuple(nodes.launches))
        folder = Path(tempfile.mkdtemp(prefix=f"{names.run}-"))
        relays = {
            str(folder / f"{node}-{port}"): (names.address(node), port)
            for node in names.nodes
            for port in (CLIENT_PORT, HTTP_PORT)
        }
        control = self._control = Control(names, wiring=self._wiring, seed=self._seed)
        await control.start(folder, relays)
        for launch in nodes.launches.values():
            _place(launch, names, folder)
        tables = self._tables = Tables(names)
        return injectors(names, control, tables, self._wiring)

    def why_fixed(self) -> str:
        """See Fitting."""
        return "the network's namespaces are made for the nodes that there are at the beginning"

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting: it cannot be."""
        raise RuntimeError(f"node {launch.node} came too late: {self.why_fixed()}")

    async def remove(self) -> Mapping[str, int]:
        """See Fitting: packets, and what was done to them."""
        control, self._control = self._control, None
        if control is None:
            return {}
        try:
            if self._tables is None:  # it could not start
                return {}
            counts = {f"switch_{name}": count for name, count in (await control.counts()).items()}
            if find_nft():
                counts["nft_hits"] = await self._tables.hits()
        finally:
            await control.end()
        return counts

    @property
    def names(self) -> Names:
        """Of the namespaces, once it is fitted."""
        assert self._names is not None, "fitted"
        return self._names


def _place(launch: Launch, names: Names, folder: Path) -> None:
    """The launch, with the listeners of its place."""
    tool = find_ip()
    assert tool is not None, "namespaces were made with it"
    address = names.address(launch.node)
    launch.before += [tool, "netns", "exec", names.space(launch.node)]
    launch.ways |= {
        f"{address}:{port}": f"unix:{folder / f'{launch.node}-{port}'}" for port in (CLIENT_PORT, HTTP_PORT)
    }
    launch.config = dataclasses.replace(
        launch.config,
        client=ListenerConfig(bind=f"{address}:{CLIENT_PORT}"),
        peer=ListenerConfig(bind=f"{address}:{PEER_PORT}"),
        http=ListenerConfig(bind=f"{address}:{HTTP_PORT}"),
        peers=tuple(
            PeerConfig(
                node=node, peer=f"{names.address(node)}:{PEER_PORT}", client=f"{names.address(node)}:{CLIENT_PORT}"
            )
            for node in names.nodes
        ),
        insecure=True,  # no packet leaves the run's own namespaces
        secret_file=str(_secret(folder)),
        processing=dataclasses.replace(launch.config.processing, deploy_from_anywhere=True),
    )


def _secret(folder: Path) -> Path:
    """The run's."""
    path = folder / "secret"
    if not path.exists():
        path.write_text(secrets.token_hex(16))
    return path
