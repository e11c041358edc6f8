"""What the data directory of a node that does not run holds: whose it is, its part of the quorum, its replicas' logs.

Everything is opened as a start would, but through an `Overlay`: nothing on the disk changes.
"""

from collections.abc import Iterator

import msgspec

from cluster.broker.opening import REPLICAS
from cluster.config import LogOptions
from cluster.controller.quorum.recovering import KnownQuorum, read_quorum
from cluster.errors import CorruptStorage, InvalidRequest, RefusedToStart, RiverrunError
from cluster.log import Log, ReplicaIdentity, has_log
from cluster.membership import BLANK, Membership
from cluster.metadata import QuorumConfiguration
from cluster.node.identity import read_identity
from cluster.node.recovery.overlay import Overlay
from cluster.types import ClusterId, Index, PartitionId, ReplicaId, Term, TopicId
from cluster.world import Disk

FORMAT = 1


class FoundReplica(msgspec.Struct, frozen=True, kw_only=True):
    """One replica's log. `trouble`: why it is of no use, in words; empty: it is of use.

    `term`: of its vote. `last_term`, `last_index`, `end_offset`: where its whole entries end. `claims`: the newest
    (term, index) that it can have acknowledged; None: nobody knows, so that it votes for nobody. `whole`: nothing that
    it had is missing. `led`: as far as it can be told, it led in the last term that it knows of.
    """

    topic: bytes
    number: int
    replica: int
    directory: str
    term: int = 0
    last_term: int = 0
    last_index: int = 0
    first_offset: int = 0
    end_offset: int = 0
    claims: tuple[int, int] | None = None
    whole: bool = False
    led: bool = False
    membership: Membership = BLANK
    trouble: str = ""

    @property
    def partition(self) -> PartitionId:
        """Whose."""
        return PartitionId(TopicId(self.topic), self.number)

    @property
    def reach(self) -> tuple[int, int]:
        """How far its log goes: of several, the greatest has all that any of them knows to be committed."""
        return self.last_term, self.last_index


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """Of one node. `quorum_trouble`: why nothing is known of the controller from here; empty: it is."""

    format: int = FORMAT
    cluster: bytes
    node: int
    directory: bytes
    quorum: KnownQuorum
    quorum_trouble: str = ""
    replicas: list[FoundReplica] = []

    def encode(self) -> bytes:
        """A file's content."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def decode_survey(data: bytes) -> Survey:
    """The inverse; InvalidRequest if it is no survey of this version."""
    try:
        found = msgspec.json.decode(data, type=Survey)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"this is no survey: {error}") from error
    if found.format != FORMAT:
        raise InvalidRequest(f"this is a survey of format {found.format}; this version writes and reads {FORMAT}")
    return found


class _Opaque:
    """A state that nobody looks at."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def apply(self, command: bytes, index: Index, term: Term) -> None:
        """See `cluster.log.fold.Machine`."""

    def encode(self) -> bytes:
        """See Machine."""
        return self._data


def survey(below: Disk) -> Survey:
    """Look; nothing changes. RefusedToStart: it is no data directory of a node."""
    disk = Overlay(below)
    identity = read_identity(disk)
    if identity is None:
        raise RefusedToStart("there is no node's data here")
    quorum, trouble = look_at_quorum(disk)
    return Survey(
        cluster=identity.cluster,
        node=identity.node,
        directory=identity.directory,
        quorum=quorum,
        quorum_trouble=trouble,
        replicas=list(_replicas(disk, ClusterId(identity.cluster))),
    )


def _replicas(disk: Disk, cluster: ClusterId) -> Iterator[FoundReplica]:
    for topic in disk.list(REPLICAS):
        for name in disk.list(f"{REPLICAS}/{topic}"):
            number, _, replica = name.partition("-")
            if number.isdigit() and replica.isdigit():
                partition = PartitionId(TopicId(bytes.fromhex(topic)), int(number))
                identity = ReplicaIdentity(cluster=cluster, partition=partition, replica=ReplicaId(int(replica)))
                yield look_at(disk, f"{REPLICAS}/{topic}/{name}", identity)


def look_at_quorum(disk: Disk) -> tuple[KnownQuorum, str]:
    """The node's part of the controller; or, why nothing is known of it."""
    try:
        return read_quorum(disk), ""
    except RiverrunError as error:
        return KnownQuorum(configuration=QuorumConfiguration(number=0)), error.message


def look_at(disk: Disk, directory: str, identity: ReplicaIdentity) -> FoundReplica:
    """One replica's log, opened as a start would open it."""
    found = FoundReplica(
        topic=identity.partition.topic,
        number=identity.partition.number,
        replica=identity.replica,
        directory=directory,
    )
    if not has_log(disk, directory):
        return msgspec.structs.replace(found, trouble="its vote is gone, or it was never made to the end")
    try:
        log = Log.open(disk, directory, identity, LogOptions(), _Opaque)
    except (CorruptStorage, RefusedToStart) as error:
        return msgspec.structs.replace(found, trouble=error.message)
    try:
        return _found(found, log)
    finally:
        log.close()


def _found(found: FoundReplica, log: Log) -> FoundReplica:
    recovered, fold = log.recovered, log.fold
    ends = [(fold.index, fold.term), *recovered.doubts, *filter(None, [recovered.doubts_to, recovered.owes])]
    unknown = recovered.recovering and recovered.owes is None
    return msgspec.structs.replace(
        found,
        term=log.vote.term,
        last_term=fold.term,
        last_index=fold.index,
        first_offset=log.start_offset,
        end_offset=fold.end_offset,
        claims=None if unknown else max((term, index) for index, term in ends),
        whole=not recovered.recovering and not recovered.doubts,
        led=log.vote.voted_for == log.identity.replica and 0 < log.vote.term == fold.term,
        membership=fold.membership,
        trouble="" if fold.membership.voters else "it was new, and had got nothing yet",
    )
