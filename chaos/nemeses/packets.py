"""Faults of the family `packet`: what happens below TCP, between nodes, and between nodes and clients.

Options: `links`, which of the hit nodes' links: "peers" (with other nodes), "clients", or "all"; both directions.
Bits flip between nodes only: between them and clients nothing is promised of that. Shares are of packets. Cuts and
partitions are of the family `partition`; namespaces can do those, too.
"""

import random
from collections.abc import Callable
from typing import Any

from chaos.nemeses.catalogue import SINGLE, FaultKind, register

LINKS = ("peers", "peers", "clients", "all")
"""Drawn from; links between nodes twice as often."""


def _drawn(**between: tuple[float, float]) -> Callable[[random.Random], dict[str, Any]]:
    def draw(chance: random.Random) -> dict[str, Any]:
        values = {name: round(chance.uniform(*limits), 4) for name, limits in between.items()}
        return {"links": chance.choice(LINKS), **values}

    return draw


def _between_nodes(**between: tuple[float, float]) -> Callable[[random.Random], dict[str, Any]]:
    """The same, and as much is drawn: what a seed has behind it stays as it is."""
    draw = _drawn(**between)
    return lambda chance: {**draw(chance), "links": "peers"}


_ROLES = (*SINGLE, "minority", "all")

register(
    FaultKind(
        name="packet_loss",
        family="packet",
        about="1 to 10 % of packets are lost",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_drawn(share=(0.01, 0.1)),
    ),
    FaultKind(
        name="packet_delay",
        family="packet",
        about="packets take 10 to 200 ms, more or less",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_drawn(delay_s=(0.01, 0.2), jitter_s=(0.0, 0.1)),
    ),
    FaultKind(
        name="packet_duplicate",
        family="packet",
        about="5 to 50 % of packets come twice",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_drawn(share=(0.05, 0.5)),
    ),
    FaultKind(
        name="packet_reorder",
        family="packet",
        about="5 to 50 % of packets are passed by those behind them",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_drawn(share=(0.05, 0.5)),
    ),
    FaultKind(
        name="packet_corrupt",
        family="packet",
        about="0.1 to 3 % of packets have a flipped bit that TCP's checksum does not tell",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_between_nodes(share=(0.001, 0.03)),
    ),
    FaultKind(
        name="bandwidth_limit",
        family="packet",
        about="links of 0.2 to 2 MB/s, with a queue of a second",
        roles=_ROLES,
        lasts_s=(2.0, 10.0),
        draw=_drawn(bytes_per_s=(200_000, 2_000_000)),
    ),
    FaultKind(
        name="nft_reset",
        family="packet",
        about="every packet is answered by a TCP reset",
        roles=_ROLES,
        lasts_s=(0.2, 4.0),
        draw=_drawn(),
    ),
)
