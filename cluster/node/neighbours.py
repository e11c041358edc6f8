"""Where the other nodes are, as this one sees them, and which of them are there at all.

Until the controller's word has come it is the configuration, and what this node last knew, which it keeps on its disk:
so it finds the cluster even when all that its configuration names has gone. Then it is the metadata. An address in the
configuration stands for this node alone (a proxy, say), until the other node registers with that very address: from
then on it is no other way, and when the node moves, this one follows. The same holds for where clients' requests are
passed on to.
"""

from collections.abc import Iterator, Mapping

import msgspec
import structlog

from cluster.config import NodeConfig
from cluster.errors import CorruptStorage
from cluster.log.whole_file import read_whole, write_whole
from cluster.metadata import Node
from cluster.types import NodeId
from cluster.world import Disk

log_event = structlog.get_logger()
FILE = "neighbours"


class _Kept(msgspec.Struct):
    recorded: dict[int, str] = {}
    confirmed: dict[int, str] = {}
    """Addresses in the configuration that the node itself has registered with."""
    clients: dict[int, str] = {}
    confirmed_clients: dict[int, str] = {}
    gone: list[int] = []


class Neighbours(Mapping[NodeId, str]):
    """Peer addresses by node, this node's own included."""

    def __init__(self, config: NodeConfig, disk: Disk) -> None:
        self._me = NodeId(config.node)
        self._joins = config.joins
        self._configured = {NodeId(peer.node): peer.peer for peer in config.peers}
        self._configured_clients = {NodeId(peer.node): peer.client for peer in config.peers if peer.client}
        self._disk = disk
        self._kept = _Kept()
        self._heard = False

    def load(self) -> None:
        """What this node last knew; a damaged file is none, and told."""
        try:
            data = read_whole(self._disk, FILE)
        except CorruptStorage as error:
            log_event.warning("neighbours_unknown", detail=error.message)
            return
        if data is not None:
            self._kept = msgspec.msgpack.decode(data, type=_Kept)

    def record(self, nodes: Mapping[NodeId, Node]) -> bool:
        """The metadata's word; whether anything has changed."""
        before = msgspec.msgpack.encode(self._kept)
        kept, heard = self._kept, self._heard
        self._heard = True
        kept.gone = sorted({*kept.gone, *(node for node in kept.recorded if NodeId(node) not in nodes)} - set(nodes))
        kept.recorded = {int(node): known.peer_address for node, known in sorted(nodes.items())}
        kept.clients = {int(node): known.client_address for node, known in sorted(nodes.items())}
        for configured, recorded, confirmed in (
            (self._configured, kept.recorded, kept.confirmed),
            (self._configured_clients, kept.clients, kept.confirmed_clients),
        ):
            for node, address in recorded.items():
                if configured.get(NodeId(node)) == address:
                    confirmed[node] = address
        after = msgspec.msgpack.encode(kept)
        if after == before:
            return not heard
        try:
            write_whole(self._disk, FILE, after)
        except OSError as error:
            log_event.warning("neighbours_not_kept", detail=str(error))
        return True

    def __getitem__(self, node: NodeId) -> str:
        configured = self._configured.get(node)
        recorded = self._kept.recorded.get(node)
        if configured is not None and (not recorded or self._kept.confirmed.get(node) != configured):
            return configured
        if not recorded:
            raise KeyError(node)
        return recorded

    def way_of_clients(self, node: NodeId) -> str:
        """Where a node takes clients' requests from this one; empty: it is not known."""
        configured, recorded = self._configured_clients.get(node, ""), self._kept.clients.get(node, "")
        confirmed = recorded and self._kept.confirmed_clients.get(node) == configured
        return recorded if confirmed or not configured else configured

    def __iter__(self) -> Iterator[NodeId]:
        recorded = {NodeId(node) for node, address in self._kept.recorded.items() if address}
        configured = set() if self._joins and self._heard else set(self._configured) - {*map(NodeId, self._kept.gone)}
        return iter(sorted(recorded | configured | {self._me}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def others(self) -> dict[NodeId, str]:
        """To whom there should be links."""
        return {node: self[node] for node in self if node != self._me}
