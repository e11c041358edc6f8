"""The files of the replicas that should run on a node: opened where they are, made where they never were.

A replica that was recorded as initialised, but whose log is not here or lost its vote, is not made again: an empty
replica under an old name could vote twice.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.broker.requests import Reassign
from cluster.config import LogOptions
from cluster.errors import CorruptStorage, DiskFull, RefusedToStart, RiverrunError
from cluster.log import Log, MachineOf, ReplicaIdentity, has_log
from cluster.metadata import Replica as Assigned
from cluster.metadata import TopicConfig
from cluster.raft import Membership
from cluster.types import PartitionId
from cluster.world import Disk

REPLICAS = "replicas"


@dataclass(frozen=True, slots=True)
class Missing:
    """A replica that is assigned to this node and does not run."""

    assigned: Assigned
    directory: str
    identity: ReplicaIdentity
    membership: Membership
    preferred: bool
    """The controller would have it lead."""
    config: TopicConfig = TopicConfig()
    machine_of: MachineOf | None = None
    """What the partition's commands fold into, if it takes commands."""
    wish: Reassign | None = None
    """What it is to be told of who is to belong to the partition."""

    @property
    def partition(self) -> PartitionId:
        """Whose replica it is."""
        return self.identity.partition


def directory_of(partition: PartitionId, assigned: Assigned) -> str:
    """Where a replica's files are; the replica id is part of it, so that a new one never meets an old one's files."""
    return f"{REPLICAS}/{partition.topic.hex()}/{partition.number}-{assigned.replica}"


def open_or_create(disk: Disk, missing: Sequence[Missing], options: LogOptions) -> list[Log | RiverrunError]:
    """The log of each, or why it has none: DiskFull may be tried again. Blocks."""
    new = [item for item in missing if not item.assigned.initialised and not has_log(disk, item.directory)]
    try:
        Log.create(disk, [(item.directory, item.identity, item.membership) for item in new])
    except OSError as error:
        full = _disk_full(error)
        return [full if item in new else _open(disk, item, options) for item in missing]
    return [_open(disk, item, options) for item in missing]


def _open(disk: Disk, item: Missing, options: LogOptions) -> Log | RiverrunError:
    if not has_log(disk, item.directory):
        return CorruptStorage(f"{item.directory} is not there, and was")
    try:
        return Log.open(disk, item.directory, item.identity, options, item.machine_of)
    except (CorruptStorage, RefusedToStart) as error:
        return error
    except OSError as error:
        return _disk_full(error)  # what is damaged is copied before anything is cut, and there was no room for it


def _disk_full(error: OSError) -> DiskFull:
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        raise error
    return DiskFull("the disk is full")
