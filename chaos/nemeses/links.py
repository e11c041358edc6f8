"""Faults of the links between nodes, and to clients: partitions, one-way cuts, and slow, narrow or torn connections.

Partitions and cuts are the same in every arena (`cuts.py`); what else is here is what Toxiproxy calls a toxic, with its
attributes as options. `direction`: what the target says ("from"), what it hears ("to"), or both.
"""

import random
from typing import Any

from chaos.nemeses.catalogue import SINGLE, FaultKind, register

LOUD_SHARE = 0.3
"""Of the cuts that may be: connections are refused instead of swallowed."""
DIRECTIONS = ("both", "both", "from", "to")
BROAD = (*SINGLE, "minority", "all")


def _grouped(chance: random.Random) -> dict[str, Any]:
    return {"grouping": chance.getrandbits(32), "refused": chance.random() < LOUD_SHARE}


def _one_way(chance: random.Random) -> dict[str, Any]:
    return {
        "grouping": chance.getrandbits(32),
        "direction": chance.choice(("from", "to")),
        "one": chance.random() < 0.3,
    }


def _latency(chance: random.Random) -> dict[str, Any]:
    latency_ms = chance.choice((5, 20, 60, 150, 400))
    return {
        "direction": chance.choice(DIRECTIONS),
        "latency": latency_ms,
        "jitter": chance.randint(0, latency_ms),
    }


def _bandwidth(chance: random.Random) -> dict[str, Any]:
    return {"direction": chance.choice(DIRECTIONS), "rate": chance.choice((50, 200, 1000))}


def _slow_close(chance: random.Random) -> dict[str, Any]:
    return {"direction": chance.choice(DIRECTIONS), "delay": chance.randint(100, 3000)}


def _timeout(chance: random.Random) -> dict[str, Any]:
    return {"direction": chance.choice(DIRECTIONS), "timeout": chance.randint(50, 2000)}


def _slicer(chance: random.Random) -> dict[str, Any]:
    average = chance.choice((16, 128, 1024))
    return {
        "direction": chance.choice(DIRECTIONS),
        "average_size": average,
        "size_variation": chance.randint(0, average // 2),
        "delay": chance.randint(0, 200),
    }


def _limit_data(chance: random.Random) -> dict[str, Any]:
    return {"direction": chance.choice(DIRECTIONS), "bytes": chance.choice((100, 10_000, 1_000_000))}


def _client_cut(chance: random.Random) -> dict[str, Any]:
    return {"direction": chance.choice(DIRECTIONS), "refused": chance.random() < LOUD_SHARE}


KINDS = (
    FaultKind(
        name="partition_one",
        family="partition",
        about="the target on one side, all other nodes on the other",
        roles=(*SINGLE, "minority"),
        lasts_s=(1.0, 15.0),
        draw=_grouped,
    ),
    FaultKind(
        name="partition_majority",
        family="partition",
        about="two halves, one of which may be a majority",
        roles=("all",),
        lasts_s=(1.0, 15.0),
        draw=_grouped,
    ),
    FaultKind(
        name="partition_majorities_ring",
        family="partition",
        about="each node hears a majority, and no two the same one; of three nodes no two hear each other",
        roles=("all",),
        lasts_s=(1.0, 15.0),
        draw=lambda chance: {"grouping": chance.getrandbits(32)},
    ),
    FaultKind(
        name="partition_bridge",
        family="partition",
        about="two halves with one node between them that hears both",
        roles=("all",),
        lasts_s=(1.0, 15.0),
        draw=_grouped,
    ),
    FaultKind(
        name="partition_primaries",
        family="partition",
        about="some of those who lead a partition, each alone",
        roles=("leaders",),
        lasts_s=(1.0, 15.0),
        draw=_grouped,
    ),
    FaultKind(
        name="cut",
        family="partition",
        about="the link between the target and one other node",
        lasts_s=(1.0, 15.0),
        draw=_grouped,
    ),
    FaultKind(
        name="cut_one_way",
        family="partition",
        about="the target is not heard, or hears nobody: by one other node, or by all",
        roles=(*SINGLE, "minority"),
        lasts_s=(1.0, 15.0),
        draw=_one_way,
    ),
    FaultKind(
        name="latency",
        family="network",
        about="what goes between the target and other nodes takes longer, by up to 0.8 s, and varies",
        roles=BROAD,
        lasts_s=(2.0, 15.0),
        draw=_latency,
        minority=False,  # an election takes long where answers do
    ),
    FaultKind(
        name="bandwidth",
        family="network",
        about="links of the target take 50 kB/s to 1 MB/s",
        roles=BROAD,
        lasts_s=(2.0, 15.0),
        draw=_bandwidth,
        minority=False,  # a leader keeps its place with less than the records need
    ),
    FaultKind(
        name="slow_close",
        family="network",
        about="the end of a connection of the target is seen 0.1 to 3 s later",
        roles=BROAD,
        lasts_s=(2.0, 15.0),
        draw=_slow_close,
    ),
    FaultKind(
        name="timeout",
        family="network",
        about="the target's links swallow everything, and close when nothing has come for a while",
        roles=(*SINGLE, "minority"),
        lasts_s=(0.5, 10.0),
        draw=_timeout,
    ),
    FaultKind(
        name="reset_peer",
        family="network",
        about="connections of the target are reset as soon as something is said on them",
        roles=BROAD,
        lasts_s=(0.2, 5.0),
        draw=lambda chance: {"direction": chance.choice(DIRECTIONS), "timeout": chance.choice((0, 0, 20, 500))},
    ),
    FaultKind(
        name="slicer",
        family="network",
        about="what goes over the target's links comes in small pieces",
        roles=BROAD,
        lasts_s=(2.0, 15.0),
        draw=_slicer,
        minority=False,  # as with bandwidth
    ),
    FaultKind(
        name="limit_data",
        family="network",
        about="connections of the target end after 100 B to 1 MB",
        roles=BROAD,
        lasts_s=(1.0, 10.0),
        draw=_limit_data,
        minority=False,  # heartbeats fit into what records do not
    ),
    FaultKind(
        name="client_cut",
        family="network",
        about="clients do not reach the target, are not heard or hear nothing",
        lasts_s=(0.5, 10.0),
        draw=_client_cut,
        minority=False,  # nobody else leads its partitions meanwhile
    ),
    FaultKind(
        name="client_latency",
        family="network",
        about="what goes between clients and the target takes longer, by up to 0.8 s, and varies",
        roles=BROAD,
        lasts_s=(2.0, 15.0),
        draw=_latency,
    ),
    FaultKind(
        name="client_reset",
        family="network",
        about="clients' connections to the target are reset as soon as something is said on them",
        roles=BROAD,
        lasts_s=(0.1, 3.0),
        draw=lambda chance: {"direction": chance.choice(DIRECTIONS), "timeout": chance.choice((0, 0, 20))},
        minority=False,  # as with client_cut
    ),
)
register(*KINDS)
