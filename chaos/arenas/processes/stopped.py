"""The replicas of nodes that have stopped, read from their data directories."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from chaos.arenas.copies import copy_of
from chaos.checkers.replicas import Copy
from cluster.broker.opening import REPLICAS
from cluster.config import LogOptions, NodeConfig
from cluster.log import Log, ReplicaIdentity
from cluster.real.disk import RealDisk
from cluster.types import ClusterId, PartitionId, ReplicaId, TopicId


def copies_on(config: NodeConfig, topics: Mapping[bytes, str]) -> Iterator[tuple[str, Copy]]:
    """With its topic's name, each replica of these topics (id → name) on the disk of one node. Blocks.

    CorruptStorage, ValueError: it cannot be read; that is an anomaly, for the cluster was healed and stopped.
    """
    root = Path(config.data_dir)
    disk = RealDisk(root)
    try:
        for identity, name in topics.items():
            folder = root / REPLICAS / identity.hex()
            for place in sorted(folder.iterdir()) if folder.is_dir() else ():
                number, _, replica = place.name.partition("-")
                partition = PartitionId(TopicId(identity), int(number))
                owner = ReplicaIdentity(
                    cluster=ClusterId(bytes.fromhex(config.cluster_id)),
                    partition=partition,
                    replica=ReplicaId(int(replica)),
                )
                log = Log.open(disk, str(place.relative_to(root)), owner, LogOptions())
                try:
                    yield name, copy_of(log, node=config.node, partition=partition.number)
                finally:
                    log.close()
    finally:
        disk.close()
