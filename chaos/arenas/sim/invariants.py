"""What must hold after every turn of every replica, looked at from outside, over all nodes of a cluster.

- one leader a term (election safety, Raft §5.2);
- the same entry at the same index wherever it is committed (state-machine safety, §5.4.3): term, offset, content (but
  for what compaction has removed);
- the commit never falls in the life of a process, unless its replica begins anew;
- append times never go back;
- a leader's log begins where it was trimmed, and not later;
- what a replica has said of its disk is still so when it comes back (`promises.py`);
- the core's own conditions (`Raft.validate`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from chaos.arenas.sim.promises import Promises
from cluster.broker.peers import Peers
from cluster.broker.replica import Replica
from cluster.broker.requests import Request, SegmentsRewritten
from cluster.messages import InstallFold, RaftMessage
from cluster.raft import Role
from cluster.records import Entry
from cluster.types import Index, PartitionId, ReplicaId, Term

if TYPE_CHECKING:
    from cluster.sim.cluster import SimCluster

Content = tuple[Term, int, bytes]


class Violated(Exception):
    """What does not hold, in a sentence."""


class Invariants:
    """What was seen of one cluster so far."""

    def __init__(self) -> None:
        self.chosen: dict[tuple[PartitionId, Index], Content] = {}
        self.leaders: dict[tuple[PartitionId, Term], ReplicaId] = {}
        self.turns = 0
        self.reinstalled = 0
        """Replicas that began again from a fold."""
        self.counts: Counter[str] = Counter()
        """What compaction did."""
        self.promises = Promises()
        self.broken: list[str] = []

    def look(self, replica: "CheckedReplica") -> None:
        """One replica after its turn; what does not hold is kept in `broken` as well as raised."""
        self.turns += 1
        try:
            replica.raft.validate()
            self._leader(replica)
            if replica.raft.commit != replica.seen:
                self._committed(replica)
        except (AssertionError, Violated) as error:
            self.tell(replica, str(error) or type(error).__name__)
            raise
        self.promises.turned((replica.partition, replica.me), replica.raft)

    def tell(self, replica: "CheckedReplica", what: str) -> None:
        """What does not hold, if anything: whoever looks at all of them raises it."""
        if what:
            self.broken.append(f"{replica.partition.number}/{replica.me}: {what}")

    def _leader(self, replica: "CheckedReplica") -> None:
        if replica.raft.role is not Role.LEADER:
            return
        term = replica.raft.term
        leader = self.leaders.setdefault((replica.partition, term), replica.me)
        if leader != replica.me:
            raise Violated(f"election safety: {leader} and {replica.me} lead term {term}")
        log = replica.log
        deleted = log.fold.start_offset
        if log.start_offset <= deleted or replica.raft.term_of(replica.raft.commit) != term:
            return  # whatever is here begins no later than what can be read
        if log.segments()[0].base_offset > deleted:
            raise Violated(f"the log begins at {log.start_offset}, and nobody deleted that much")

    def _committed(self, replica: "CheckedReplica") -> None:
        commit, log = replica.raft.commit, replica.log
        if commit < replica.seen:
            raise Violated(f"the commit fell from {replica.seen} to {commit}")
        first = max(Index(replica.seen + 1), log.first_index)
        for entry in log.entries(first, last=commit, bytes_max=1 << 40, count_max=1 << 40):
            self._compare(replica, entry)
            if entry.hole is not None and not entry.append_time_ns:
                continue  # a part, up to the commit, of one that goes on: when its entries were appended is not known
            if entry.append_time_ns < replica.append_time_ns:
                raise Violated(f"append times went back at {entry.index}")
            replica.append_time_ns = entry.append_time_ns
        replica.seen = commit

    def _compare(self, replica: "CheckedReplica", entry: Entry) -> None:
        """With what was committed there elsewhere; of what is compacted only term and offset are what they were."""
        if entry.hole is not None:
            return
        mine = entry.term, entry.base_offset, entry.batch.payload if entry.batch else entry.control
        place = replica.partition, entry.index
        if entry.batch is not None and entry.batch.compacted:
            known = self.chosen.get(place, mine)
            mine, known = (*mine[:2], b""), (*known[:2], b"")
        else:
            known = self.chosen.setdefault(place, mine)
        if mine != known:
            raise Violated(f"state-machine safety: another entry is committed at {entry.index}")


class CheckedPeers(Peers):
    """What a replica says to the others, which is looked at before it leaves."""

    on_send: Callable[[Sequence[RaftMessage]], None]

    def send(self, messages: Sequence[RaftMessage]) -> None:
        """See Peers."""
        self.on_send(messages)
        super().send(messages)


class CheckedReplica(Replica):
    """A replica that is looked at after each of its turns."""

    peers_class = CheckedPeers

    invariants: ClassVar[Invariants]
    seen = Index(0)
    """The commit when it was last looked at."""
    append_time_ns = 0
    begun = (Term(0), 0)
    """The term and number of the last beginning that was obeyed."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        assert isinstance(self.peers, CheckedPeers)
        self.peers.on_send = self._sending
        self.invariants.tell(self, self.invariants.promises.came_back((self.partition, self.me), self.raft))

    def on_turn(self, messages: Sequence[Request]) -> None:
        """The turn, and what must hold after it."""
        super().on_turn(messages)
        for message in messages:
            if isinstance(message, SegmentsRewritten) and message.reply.result():
                self.invariants.counts["compacted"] += 1
                self.invariants.counts["tombstones_dropped"] += message.drops_tombstones
        self.invariants.look(self)

    def _sending(self, messages: Sequence[RaftMessage]) -> None:
        self.invariants.tell(self, self.invariants.promises.sending((self.partition, self.me), self.raft, messages))

    def _install(self, fold: InstallFold) -> None:
        super()._install(fold)
        self.invariants.reinstalled += 1
        begun = (self.raft.term, self.raft.beginning)
        if fold.beginning and begun != self.begun:
            self.begun = begun
            self.invariants.counts["began_anew"] += 1
            self.seen, self.append_time_ns = Index(0), 0


def look_at_all(cluster: "SimCluster", invariants: Invariants) -> None:
    """All that runs, now; Violated if anything was or is broken."""
    for number, node in cluster.running.items():
        if cluster.hosts[number].failed:
            continue  # whatever its replicas were in the middle of
        for running in node.broker.running.values():
            assert isinstance(running.replica, CheckedReplica)
            invariants.look(running.replica)
    if invariants.broken:
        raise Violated(invariants.broken[0])
