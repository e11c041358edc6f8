"""Faults on packets: through the switch, and resets by nftables. Options: `chaos.nemeses.packets`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.processes.netspace.control import Control
from chaos.arenas.processes.netspace.fabric import Effects, Pair
from chaos.arenas.processes.netspace.namespaces import CLIENTS, Names
from chaos.arenas.processes.netspace.tables import Tables, find_nft, lose_from, reset_from

NO_NFT = "nft is missing: install nftables, or unpack it with `make servers`"
EFFECTS: dict[str, Callable[[Mapping[str, Any]], Effects]] = {
    "packet_loss": lambda options: Effects(loss=options["share"]),
    "packet_delay": lambda options: Effects(delay_s=options["delay_s"], jitter_s=options["jitter_s"]),
    "packet_duplicate": lambda options: Effects(duplicate=options["share"]),
    "packet_reorder": lambda options: Effects(reorder=options["share"]),
    "packet_corrupt": lambda options: Effects(corrupt=options["share"]),
    "bandwidth_limit": lambda options: Effects(bytes_per_s=options["bytes_per_s"]),
}


def pairs_of(names: Names, nodes: Sequence[int], links: str) -> list[Pair]:
    """Both directions of these nodes' links: "peers", "clients" or "all"."""
    others = {"peers": names.nodes, "clients": (CLIENTS,), "all": names.places}[links]
    found = {(node, other) for node in nodes for other in others if other != node}
    return sorted(found | {(other, node) for node, other in found})


class PacketInjector:
    """One kind of effect of the switch."""

    def __init__(self, name: str, control: Control, names: Names, *, switched: bool) -> None:
        self._effects = EFFECTS[name]
        self._control = control
        self._names = names
        self._switched = switched

    def missing(self) -> str:
        """See Injector."""
        return "" if self._switched else "the nodes are connected by a bridge, which does this to no packet"

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        pairs = pairs_of(self._names, nodes, options.get("links", "all"))
        number = await self._control.add(pairs, self._effects(options))

        async def mend() -> None:
            await self._control.remove(number)

        return mend


class RuleInjector:
    """Rules of nftables for what comes in, at both ends of the hit nodes' links."""

    def __init__(self, rule: Callable[[str, Mapping[str, Any]], str], tables: Tables, names: Names) -> None:
        self._rule = rule
        self._tables = tables
        self._names = names

    def missing(self) -> str:
        """See Injector."""
        return "" if find_nft() else NO_NFT

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        pairs = pairs_of(self._names, nodes, options.get("links", "all"))
        number = await self._tables.add(
            (target, self._rule(self._names.address(source), options)) for source, target in pairs
        )

        async def mend() -> None:
            await self._tables.remove(number)

        return mend


def reset_injector(tables: Tables, names: Names) -> RuleInjector:
    """`nft_reset`."""
    return RuleInjector(lambda address, _: reset_from(address), tables, names)


def loss_injector(tables: Tables, names: Names) -> RuleInjector:
    """`packet_loss` where there is no switch: by the kernel's chance, which has no seed."""
    return RuleInjector(lambda address, options: lose_from(address, options["share"]), tables, names)
