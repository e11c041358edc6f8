"""Which replicas' files are opened, made, refused, or tried again when there is room."""

import random
from dataclasses import replace

from cluster.broker.groups.state import Groups
from cluster.broker.opening import Missing, directory_of, open_or_create
from cluster.config import LogOptions
from cluster.errors import CorruptStorage, DiskFull, RefusedToStart
from cluster.log import Log, ReplicaIdentity
from cluster.metadata import Replica
from cluster.raft import Member, Membership
from cluster.sim.disk import SimDisk
from cluster.types import ClusterId, NodeId, PartitionId, ReplicaId, TopicId
from tests.log.test_crash import entry, flush

TOPIC = TopicId(b"t" * 16)
MEMBERS = Membership(voters=(Member(replica=ReplicaId(9), node=NodeId(1)),))


def missing(number: int, *, initialised: bool = False, cluster: bytes = b"c") -> Missing:
    """A replica of partition `number` that should run here."""
    partition = PartitionId(TOPIC, number)
    assigned = Replica(replica=ReplicaId(100 + number), node=NodeId(1), initialised=initialised)
    identity = ReplicaIdentity(cluster=ClusterId(cluster * 16), partition=partition, replica=assigned.replica)
    return Missing(assigned, directory_of(partition, assigned), identity, MEMBERS, preferred=False)


def test_new_ones_are_made_and_known_ones_opened():
    """A second start finds what the first one made."""
    disk = SimDisk(random.Random(1))
    first = open_or_create(disk, [missing(0), missing(1)], LogOptions())
    again = open_or_create(disk, [missing(0, initialised=True), missing(1)], LogOptions())
    assert [Log, Log, Log, Log] == [type(log) for log in [*first, *again]]


def test_one_that_was_recorded_and_is_gone_is_not_made_again():
    """An empty replica under an old name could vote twice."""
    disk = SimDisk(random.Random(1))
    found = open_or_create(disk, [missing(0, initialised=True), missing(1)], LogOptions())
    assert [CorruptStorage, Log] == [type(log) for log in found]


def test_one_of_another_cluster_is_refused():
    """Its files stay as they are."""
    disk = SimDisk(random.Random(1))
    open_or_create(disk, [missing(0)], LogOptions())
    assert [CorruptStorage] == [type(log) for log in open_or_create(disk, [missing(0, cluster=b"d")], LogOptions())]


def test_without_room_new_ones_wait_and_known_ones_open():
    """A full disk refuses what is new, and comes back to it."""
    disk = SimDisk(random.Random(1))
    open_or_create(disk, [missing(0)], LogOptions())
    disk.capacity_bytes = 0
    assert [Log, DiskFull] == [type(log) for log in open_or_create(disk, [missing(0), missing(1)], LogOptions())]
    disk.capacity_bytes = 1 << 30
    assert [Log] == [type(log) for log in open_or_create(disk, [missing(1)], LogOptions())]


def test_what_waits_for_room_holds_no_files():
    """A full disk is asked again every second, for days perhaps: it had ended in "too many open files"."""
    disk = SimDisk(random.Random(1))
    torn, headless, new = missing(0), missing(1), missing(2)
    damaged(disk, torn)
    damaged(disk, headless, head=True)
    assert not disk.in_use
    disk.capacity_bytes = 0
    for _ in range(20):
        logs = open_or_create(disk, [torn, headless, new], LogOptions())
        assert [DiskFull, DiskFull, DiskFull] == [type(log) for log in logs]
        assert not disk.in_use
    disk.capacity_bytes = 1 << 30
    assert [Log, Log, Log] == [type(log) for log in open_or_create(disk, [torn, headless, new], LogOptions())]


def test_what_is_refused_holds_no_files():
    """Whatever stops it: one of another cluster, and one without a vote."""
    disk = SimDisk(random.Random(1))
    (log,) = open_or_create(disk, [missing(0)], LogOptions())
    assert isinstance(log, Log)
    log.close()
    open_or_create(disk, [missing(0, cluster=b"d")], LogOptions())
    disk.cut(f"{missing(0).directory}/vote", 0)
    open_or_create(disk, [missing(0)], LogOptions())
    assert not disk.in_use


def damaged(disk: SimDisk, item: Missing, *, head: bool = False) -> None:
    """A log of two segments, of which the first one's head is damaged, or the last one's end torn."""
    (log,) = open_or_create(disk, [item], LogOptions(segment_bytes_max=1000))
    assert isinstance(log, Log)
    for _ in range(4):
        log.append([entry(log, 1)])
    flush(log, disk)
    assert len(log.segments()) == 2
    first, last = log.directory + f"/{1:020d}.log", log._segments[-1]
    log.close()
    if head:
        disk.flip(first, 50 * 8)
    else:
        disk.flip(last.path, (last.rows.positions[-1] + 9) * 8)


def test_a_state_of_another_version_is_refused():
    """By a typed error; its files stay as they are."""
    disk = SimDisk(random.Random(1))
    item = missing(0)

    def of_another_version(encoded: bytes) -> Groups:
        return Groups(b"\x01" + encoded)

    open_or_create(disk, [replace(item, machine_of=Groups)], LogOptions())
    refused = open_or_create(disk, [replace(item, machine_of=of_another_version)], LogOptions())
    again = open_or_create(disk, [replace(item, machine_of=Groups)], LogOptions())
    assert [RefusedToStart, Log] == [type(log) for log in [*refused, *again]]
