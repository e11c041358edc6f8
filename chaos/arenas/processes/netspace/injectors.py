"""The faults that namespaces bring about: on packets, by the switch; cuts and resets, by nftables.

Names and options are those of `chaos.nemeses.packets` and `chaos.nemeses.links`. A cut is silent: what is said is lost
for good, and nobody is told; where the schedule says `refused`, every packet is answered by a reset. Packets that go
one way only make no TCP connection: a cut of one direction ends both in the end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.netspace.control import Control, Wiring
from chaos.arenas.processes.netspace.fabric import Effects, Pair
from chaos.arenas.processes.netspace.namespaces import CLIENTS, Names
from chaos.arenas.processes.netspace.tables import Tables, drop_from, find_nft, lose_from, reset_from
from chaos.nemeses.cuts import PARTITIONS, Partition, around

NO_NFT = "nft is missing: install nftables, or unpack it with `make servers`"
Options = Mapping[str, Any]
Where = Callable[[Sequence[int], Options], Iterable[Pair]]
"""Targets, options → pairs (from, to)."""
PACKETS: dict[str, Callable[[Options], Effects]] = {
    "packet_loss": lambda options: Effects(loss=options["share"]),
    "packet_delay": lambda options: Effects(delay_s=options["delay_s"], jitter_s=options["jitter_s"]),
    "packet_duplicate": lambda options: Effects(duplicate=options["share"]),
    "packet_reorder": lambda options: Effects(reorder=options["share"]),
    "packet_corrupt": lambda options: Effects(corrupt=options["share"]),
    "bandwidth_limit": lambda options: Effects(bytes_per_s=options["bytes_per_s"]),
}
TOXICS: dict[str, Callable[[Options], Effects]] = {
    "latency": lambda options: Effects(delay_s=options["latency"] / 1000, jitter_s=options["jitter"] / 1000),
    "bandwidth": lambda options: Effects(bytes_per_s=options["rate"] * 1000),
}
"""What Toxiproxy does to connections can be done to their packets, too; these by its attributes."""
PROXIES_ONLY = ("slow_close", "timeout", "slicer", "limit_data")


def injectors(names: Names, control: Control, tables: Tables, wiring: Wiring) -> dict[str, Injector]:
    """All of them."""

    def links(targets: Sequence[int], options: Options) -> Iterable[Pair]:
        return pairs_of(names, targets, options.get("links", "all"))

    def peers(targets: Sequence[int], options: Options) -> Iterable[Pair]:
        return around(targets, names.nodes, options["direction"])

    def clients(targets: Sequence[int], options: Options) -> Iterable[Pair]:
        return around(targets, (CLIENTS,), options["direction"])

    def both_ways(where: Where) -> Where:  # a reset has to get to both ends
        return lambda targets, options: where(targets, {**options, "direction": "both"})

    found: dict[str, Injector] = {name: _Spoil(effects, links, control, wiring) for name, effects in PACKETS.items()}
    found |= {name: _Spoil(effects, peers, control, wiring) for name, effects in TOXICS.items()}
    found["client_latency"] = _Spoil(TOXICS["latency"], clients, control, wiring)
    if wiring == "bridge":
        found["packet_loss"] = _Rule(
            lambda address, options: lose_from(address, options["share"]), links, names, tables
        )
    for name, where in (("nft_reset", links), ("reset_peer", both_ways(peers)), ("client_reset", both_ways(clients))):
        found[name] = _Rule(lambda address, _: reset_from(address), where, names, tables)
    found |= {name: _Rule(_cut, _partition(names, kind), names, tables) for name, kind in PARTITIONS.items()}
    found["client_cut"] = _Rule(_cut, clients, names, tables)
    return found | {name: _Never() for name in PROXIES_ONLY}


def pairs_of(names: Names, nodes: Sequence[int], links: str) -> list[Pair]:
    """Both directions of these nodes' links: "peers", "clients" or "all"."""
    others = {"peers": names.nodes, "clients": (CLIENTS,), "all": names.places}[links]
    return sorted(around(nodes, others, "both"))


def _partition(names: Names, kind: Partition) -> Where:
    return lambda targets, options: kind(targets, names.nodes, options)


def _cut(address: str, options: Options) -> str:
    return reset_from(address) if options.get("refused") else drop_from(address)


@dataclass(frozen=True, slots=True)
class _Spoil:
    """Effects of the switch on some pairs."""

    effects: Callable[[Options], Effects]
    where: Where
    control: Control
    wiring: Wiring

    def missing(self) -> str:
        """See Injector."""
        return "" if self.wiring == "switch" else "the nodes are connected by a bridge, which does this to no packet"

    async def inject(self, nodes: Sequence[int], options: Options) -> Mend | None:
        """See Injector."""
        number = await self.control.add(self.where(nodes, options), self.effects(options))

        async def mend() -> None:
            await self.control.remove(number)

        return mend


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of nftables at the hearing end of some pairs."""

    rule: Callable[[str, Options], str]
    where: Where
    names: Names
    tables: Tables

    def missing(self) -> str:
        """See Injector."""
        return "" if find_nft() else NO_NFT

    async def inject(self, nodes: Sequence[int], options: Options) -> Mend | None:
        """See Injector."""
        pairs = sorted(self.where(nodes, options))
        if not pairs:
            return None
        number = await self.tables.add(
            (target, self.rule(self.names.address(source), options)) for source, target in pairs
        )

        async def mend() -> None:
            await self.tables.remove(number)

        return mend


class _Never:
    """What only a proxy can do."""

    def missing(self) -> str:
        """See Injector."""
        return "only proxies do this to connections, and none fit around nodes in namespaces"

    async def inject(self, nodes: Sequence[int], options: Options) -> Mend | None:
        """Never."""
        del nodes, options
        raise RuntimeError(self.missing())
