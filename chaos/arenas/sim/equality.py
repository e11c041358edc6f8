"""Whether all replicas come to hold the same: their logs' ends, what they fold to, and what keys stand for."""

import asyncio

from chaos.arenas.sim.contents import first_difference, table_of
from chaos.checkers.anomaly import Anomaly
from cluster.broker.replica import Replica
from cluster.sim.cluster import SimCluster
from cluster.types import PartitionId

LOOK_S = 0.2
State = tuple[int, int, int, bytes]
"""Commit, last index, start offset, the folded state."""


async def compare_replicas(cluster: SimCluster, *, wait_s_max: float, partitions_min: int = 1) -> list[Anomaly]:
    """What is not equal after so many seconds at the latest; nothing begins meanwhile, and every node runs."""
    end_s = cluster.loop.now_s + wait_s_max
    while True:
        states = _states(cluster)
        if len(states) >= partitions_min and all(map(_are_equal, states.values())):
            return _tables(cluster)
        if cluster.loop.now_s >= end_s:
            break
        await asyncio.sleep(LOOK_S)
    differ = {str(partition): found for partition, found in states.items() if not _are_equal(found)}
    return [Anomaly("replicas differ", f"they did not become equal in {wait_s_max:.0f} s: {differ or states}")]


def _states(cluster: SimCluster) -> dict[PartitionId, set[State]]:
    states: dict[PartitionId, set[State]] = {}
    for node in cluster.running.values():
        for partition, running in node.broker.running.items():
            raft, log = running.replica.raft, running.replica.log
            folded = log.fold.machine.encode() if log.fold.machine is not None else b""
            states.setdefault(partition, set()).add((raft.commit, raft.last_index, log.start_offset, folded))
    return states


def _are_equal(found: set[State]) -> bool:
    """One state, and all that is there is committed."""
    commit, last_index, *_ = next(iter(found))
    return len(found) == 1 and commit == last_index


def _tables(cluster: SimCluster) -> list[Anomaly]:
    """A key that was deleted is deleted everywhere, and whoever compacted has lost nothing else."""
    replicas: dict[PartitionId, list[Replica]] = {}
    for node in cluster.running.values():
        for partition, running in node.broker.running.items():
            if running.config.compacted:
                replicas.setdefault(partition, []).append(running.replica)
    found = []
    for partition, copies in replicas.items():
        differs = first_difference([table_of(replica) for replica in copies])
        if differs is not None:
            detail = f"partition {partition.number}: key {differs[0]!r} is {differs[1]} on its replicas"
            found.append(Anomaly("replicas differ", detail))
    return found
