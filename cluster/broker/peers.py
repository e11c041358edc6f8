"""The other replicas of a partition, as one of them sees them: where each is, what it sends, what is sent to it.

Content travels beside the core's messages: what arrives enters the core only if its checksum is right, and what leaves
is taken from the log. A message may come from a replica that this log does not know, yet or any more; the answer goes
where it came from. What claims to be of a replica that lives elsewhere is dropped.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from cluster.broker.storing import Storing
from cluster.broker.surroundings import Surroundings
from cluster.errors import CorruptStorage
from cluster.log import Log
from cluster.log.fold import decode_fold
from cluster.membership import Membership
from cluster.messages import AppendEntries, AppendReply, InstallFold, RaftMessage, TimeoutNow
from cluster.raft import Raft
from cluster.records import Entry
from cluster.types import NodeId, PartitionId, ReplicaId
from cluster.wire.peer import ReplicaEnvelope

log_event = structlog.get_logger()
STRANGERS_MAX = 32
"""Replicas that are remembered without being members."""


class Peers:
    """One replica's."""

    def __init__(
        self, *, partition: PartitionId, me: ReplicaId, raft: Raft, log: Log, storing: Storing, around: Surroundings
    ) -> None:
        self._partition = partition
        self._me = me
        self._raft = raft
        self._log = log
        self._storing = storing
        self._around = around
        self._seen: Membership | None = None
        self._homes: dict[ReplicaId, NodeId] = {}
        self._strangers: dict[ReplicaId, NodeId] = {}

    # --- where they are

    def node_of(self, replica: ReplicaId | None) -> NodeId | None:
        """Where a replica is, if that is known."""
        if replica is None:
            return None
        if self._raft.membership is not self._seen:
            self._seen = self._raft.membership
            members = [member for said in self._raft.memberships.all() for member in said.everybody()]
            self._homes = {member.replica: member.node for member in members}
        return self._homes.get(replica) or self._raft.tail_members.get(replica) or self._strangers.get(replica)

    def nodes(self) -> dict[ReplicaId, NodeId]:
        """Of all members but this one."""
        return {
            member.replica: member.node for member in self._raft.membership.everybody() if member.replica != self._me
        }

    def look_who_is_away(self) -> None:
        """Links have come or gone."""
        is_up = self._around.is_up
        self._raft.set_away(frozenset(replica for replica, node in self.nodes().items() if not is_up(node)))

    # --- what arrives

    def admit(self, envelope: ReplicaEnvelope, node: NodeId) -> None:
        """Step the core with a message from a node, if that may be."""
        message, raft, log = envelope.message, self._raft, self._log
        if message.to != self._me or self._home(message.sender, node) != node:
            return  # for a replica that was here before, or from one that is not there
        if isinstance(message, TimeoutNow) and (log.full or self._around.me in self._around.leaving):
            return  # whoever asked goes on leading
        no_room = log.full or log.pending.bytes > self._around.broker.uncommitted_bytes_max
        if isinstance(message, AppendEntries) and message.entries and no_room:
            return  # as if it were lost: the leader sends it again
        if isinstance(message, InstallFold):
            try:
                message = replace(message, membership=decode_fold(envelope.fold).membership)
            except CorruptStorage:
                log_event.warning("fold_damaged", partition=str(self._partition), index=message.index)
                return
        damaged = self._storing.arrived(envelope, raft)
        if damaged is not None:
            log_event.warning("append_damaged", partition=str(self._partition), index=damaged)
            return
        known = raft.match(message.sender)
        raft.step(message)
        if isinstance(message, AppendReply) and raft.is_leader and raft.match(message.sender) < known:
            # It recovers from damage, or its disk's syncs do nothing.
            log_event.error(
                "follower_forgot",
                partition=str(self._partition),
                replica=message.sender,
                peer=node,
                acknowledged=known,
                has=raft.match(message.sender),
                recovering=message.recovering,
            )

    def _home(self, replica: ReplicaId, node: NodeId) -> NodeId:
        known = self.node_of(replica)
        if known is None:
            if len(self._strangers) >= STRANGERS_MAX:
                del self._strangers[next(iter(self._strangers))]
            known = self._strangers[replica] = node
        return known

    # --- what leaves

    def send(self, messages: Sequence[RaftMessage]) -> None:
        """To their nodes, with their content."""
        for message in messages:
            node = self.node_of(message.to)
            if node is None:
                continue
            entries: tuple[Entry, ...] = ()
            fold = b""
            if isinstance(message, AppendEntries) and message.entries:
                first, last = message.entries[0].index, message.entries[-1].index
                entries = tuple(self._log.entries(first, last=last, bytes_max=1 << 62, count_max=len(message.entries)))
            elif isinstance(message, InstallFold):
                fold = self._log.fold_at_start()[2]
                self.tell_reinstalled("leader", message.to, message)
                if message.to not in self._raft.electors:
                    self._around.catch_up.spend(len(fold))
            self._around.send(
                node, ReplicaEnvelope(partition=self._partition, message=message, entries=entries, fold=fold)
            )

    def tell_reinstalled(self, side: str, replica: ReplicaId, fold: InstallFold) -> None:
        """A replica begins with a fold: it was too far behind. One that is new begins so as a matter of course."""
        if not fold.index and not fold.beginning:
            return
        log_event.warning(
            "follower_reinstalled",
            side=side,
            partition=str(self._partition),
            replica=replica,
            upto=fold.index,
            below_floor=fold.beginning > 0,
        )
