"""The nouns: identities and positions that every floor shares.

Identities (cluster, node, topic, replica) never return: a re-created topic has a new id and inherits nothing.
Names are labels at the edge; paths, frames, peer messages and positions carry ids.
`Index` (a Raft slot, from 1) and `Offset` (a record in a partition, from 0) are different types on purpose.
"""

from enum import IntEnum
from typing import NamedTuple, NewType

ClusterId = NewType("ClusterId", bytes)
"""16 bytes, minted once when a cluster is first started."""
NodeId = NewType("NodeId", int)
"""A node of the cluster, from 1; given in its configuration."""
TopicId = NewType("TopicId", bytes)
"""16 bytes, minted by the controller when a topic is created."""
ReplicaId = NewType("ReplicaId", int)
"""One copy of one partition, from 1; minted by the controller, unique in the cluster, never reused."""
ProducerId = NewType("ProducerId", int)
"""An idempotent producer, from 1; ranges are handed to nodes by the controller. 0: no producer."""

Term = NewType("Term", int)
"""A Raft term, from 1; 0 before the first election."""
Index = NewType("Index", int)
"""A slot of a Raft log, from 1; 0 means "before the log"."""
Offset = NewType("Offset", int)
"""A record of a partition, from 0. A position is the next offset to read."""
Ticket = NewType("Ticket", int)
"""Names one write that the Raft core asked for; monotone within a run of a replica."""

CLUSTER_ID_BYTES = 16
TOPIC_ID_BYTES = 16

NO_PRODUCER = ProducerId(0)
NO_INDEX = Index(0)
NO_TERM = Term(0)
UNCOUNTED = Index(1 << 62)
"""In the place of the last index of a log of which nobody can say how many entries it had: no log is as long."""
UNCOUNTED_ANEW = Index(UNCOUNTED + 1)
"""The same, of a log that was thrown away then, to begin anew (`cluster.raft.beginning`)."""


class PartitionId(NamedTuple):
    """One partition of one topic; `number` counts from 0."""

    topic: TopicId
    number: int

    def __str__(self) -> str:
        return f"{self.topic.hex()[:8]}/{self.number}"


class Codec(IntEnum):
    """How a batch's records are compressed. The numbers are on the wire and on disk."""

    NONE = 0
    ZSTD = 1
    LZ4 = 2


class Durability(IntEnum):
    """What an acknowledgement promises, weakest first. The numbers are on the wire."""

    ACCEPTED = 1
    """In the leader's memory; not asked for by anything yet."""
    LEADER_SYNCED = 2
    """On the leader's disk (fsync)."""
    MAJORITY_SYNCED = 3
    """On the disks (fsync) of a majority of the replicas: the default, and what "acknowledged" means."""


class Lane(IntEnum):
    """The two streams between a pair of nodes: bulk appends must not hold up votes and heartbeats."""

    CONTROL = 1
    BULK = 2
