"""A durable log over a Disk: frame → segment → log, a vote beside it, and one writer a node.

What was reported durable is there after any crash, or its damage is reported; damaged bytes are set aside, never
served and never deleted.

Decision, 2026-11-23: each partition writes its own segments, and one sync covers everything that the node's partitions
wrote in a turn: up to two files are synced alone (fdatasync), more by one syncfs. Measured with three processes on one
ext4 disk, each writing 4 KiB (64 KiB) to each of n files and making it durable, median ms:

    n      each alone       one syncfs      one shared file first
    1       0.8  (0.7)       1.0  (0.8)       0.8  (0.8)
    12     12    (11)        2.5  (4.1)       1.4  (7.2)
    64     50    (87)        6.8  (19)        3.4  (38)
    256   187    (352)      20    (85)       11    (175)

A log shared by all partitions would be up to twice as quick for many tiny writes, but it writes every byte twice (half
the throughput at 64 KiB) and makes recovery and retention of one partition everybody's business. Given up: syncfs also
flushes what neighbours wrote on that file system: give a node a file system of its own.
"""

from cluster.log.fold import Machine, MachineOf
from cluster.log.log import Log
from cluster.log.opening import Recovery, has_log
from cluster.log.segment import ReplicaIdentity, Segment, SegmentFacts
from cluster.log.writer import Writer

__all__ = ["Log", "Machine", "MachineOf", "Recovery", "ReplicaIdentity", "Segment", "SegmentFacts", "Writer", "has_log"]
