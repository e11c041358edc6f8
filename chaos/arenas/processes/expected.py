"""What nodes may do and say by themselves, for the faults of a run have made them: end, and tell of damage."""

import asyncio
from collections.abc import Iterable

from chaos.arenas.processes.fitting import Nodes
from chaos.checkers.node_logs import FORGOT, GARBLED, TOLD_OF_DAMAGE, TOLD_OF_THE_END, TORN
from chaos.nemeses.catalogue import CATALOGUE

DAMAGING = {"damage"}
"""Families of faults that take from a disk what was on it; so do lying syncs."""
TEARING = {"disk", "damage", "resource"}
"""Families of faults that may end a process in the middle of a write; so do kills."""
LIES = "lying_sync"
KILLING = {"kill", "swizzle"}
FORGETTING = {LIES, "damaged_log", "damaged_state"}
"""Faults after which a node may be without what it had acknowledged, and not know it."""
GARBLING = "packet_corrupt"
DYING_S_MAX = 10.0
"""A node that has said that it ends; as long as a stop may take."""
SILENT_S_MAX = 5.0
"""One that has not, and may be about to: it may have to wait for a processor first."""
LOOK_S = 0.02
TAIL_BYTES = 1 << 16
NODE_LOG = "node.log"


def allowed_events(faults: Iterable[str]) -> frozenset[str]:
    """Severe events that are no anomaly of any node in a run with these faults."""
    named = set(faults)
    of = {CATALOGUE[fault].family for fault in named}
    return (
        (TOLD_OF_DAMAGE if of & DAMAGING or LIES in named else frozenset())
        | (frozenset({TORN}) if of & TEARING or named & KILLING else frozenset())
        | (frozenset({FORGOT}) if named & FORGETTING else frozenset())
        | (frozenset({GARBLED}) if GARBLING in named else frozenset())
    )


async def over(nodes: Nodes, node: int) -> None:
    """What may end it is over: it is started again if it has ended, or is about to; then no end is expected of it."""
    began_s = asyncio.get_running_loop().time()
    while nodes.pid(node) is not None:
        waited_s = asyncio.get_running_loop().time() - began_s
        if waited_s > DYING_S_MAX or (waited_s > SILENT_S_MAX and not _is_dying(nodes, node)):
            break
        await asyncio.sleep(LOOK_S)
    await nodes.start(node)
    nodes.expect_no_end(node)


def _is_dying(nodes: Nodes, node: int) -> bool:
    """By the last that it has said."""
    path = nodes.launches[node].folder / NODE_LOG
    if not path.exists():
        return False
    with path.open("rb") as log:
        log.seek(max(log.seek(0, 2) - TAIL_BYTES, 0))
        said = log.read()
    said = said[said.rfind(b'"node_ready"') + 1 :]  # of this life
    return any(f'"{name}"'.encode() in said for name in TOLD_OF_THE_END)
