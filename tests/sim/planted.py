"""Bugs that the cluster seeds must find: each a subclass for tests only, run by the unmodified swarm."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from chaos.arenas.sim.invariants import CheckedReplica
from chaos.arenas.sim.swarm.plan import Plan
from chaos.arenas.sim.swarm.seed import PlannedCluster
from cluster.broker.compaction.compacting import Compacting, Job
from cluster.broker.groups.commands import Answer
from cluster.broker.groups.state import Groups
from cluster.broker.publishing import Publishing
from cluster.broker.readers import Readers
from cluster.broker.requests import Publish, Request
from cluster.broker.trimming import Trimming
from cluster.client.client import Client
from cluster.client.subscription import Subscription
from cluster.config import ClientOptions
from cluster.errors import OffsetConflict
from cluster.log import Log, Segment
from cluster.log.fold import Fold, ProducerState, decode_fold
from cluster.metadata import TopicConfig
from cluster.raft import Raft
from cluster.records import Batch, Entry
from cluster.types import Index, Offset, PartitionId, Term
from tests.raft.sim.planted import (
    AcknowledgeBeforeSync,
    DoubtIgnored,
    NoPreviousEntryCheck,
    UncountedIgnored,
    VoteNotPersisted,
)
from tests.sim.planted_promises import UNCHECKED, CommitsBeforeDelivery, DedupeLost, ServesPastCommit, VotesTwice


class NoDeduplication(Publishing):
    """Every batch is taken for the next one of its producer."""

    def producer(self, batch: Batch) -> ProducerState | None:
        """As if its predecessor had just been appended."""
        return ProducerState(batch.producer_epoch, batch.base_sequence, (), 0)


class AdmitsEarly(Publishing):
    """A new leader decides by what was committed when it was elected, until it has committed an entry of its own."""

    _behind: Fold | None = None
    _until = Index(0)

    def leadership_changed(self) -> None:
        """The sequences of what is in the log, and not known to be committed, are forgotten."""
        super().leadership_changed()
        self._behind = None
        if self._raft.is_leader and self._log.fold.machine is None:
            self._until = self._log.last_index
            behind = decode_fold(self._log.fold_at_start()[2])
            first = Index(behind.index + 1)
            for entry in self._log.entries(first, last=self._raft.commit, bytes_max=1 << 40, count_max=1 << 40):
                behind.apply(entry)
            self._behind = behind

    def producer(self, batch: Batch) -> ProducerState | None:
        """From the older fold, as long as it is older."""
        if self._behind is None or self._raft.commit >= self._until:
            return super().producer(batch)
        return self._behind.producers.get(batch.producer_id)


class NoCondition(Publishing):
    """The expected end is not looked at."""

    def propose(self, publish: Publish) -> Entry | None:
        """As if nothing was expected."""
        return super().propose(replace(publish, expected_end=None))


class ConditionFirst(Publishing):
    """A retry is refused because of what its first attempt appended."""

    def propose(self, publish: Publish) -> Entry | None:
        """The condition before the sequence."""
        if publish.expected_end is not None and publish.expected_end < self._log.end_offset and self._raft.is_leader:
            end = str(self._log.end_offset)
            self._refuse(publish, OffsetConflict("as above", end=end), committed=self._log.last_index)
            return None
        return super().propose(publish)


class TrimsTooMuch(Log):
    """With each segment that a trim takes another one goes, if there is one."""

    def trim(self, commit: Index, durable: Index) -> tuple[Index, Term] | None:
        """As it should, and then once more."""
        place, start = super().trim(commit, durable), self._trims.start
        if place is None or len(self._segments) < 2:
            return place
        self._trims.start = self._segments[1].base_offset
        further = super().trim(commit, durable)
        self._trims.start = start
        return further or place


class TrimsEarly(Trimming):
    """Readers are told of a deletion as soon as it is in the leader's log."""

    def drop(self) -> bool:
        """As if all that is here were committed."""
        self._log._trims.committed(self._log.last_index)
        return super().drop()


class SnapshotForgets(Groups):
    """The state at a segment's head has no positions in it."""

    def encode(self) -> bytes:
        """As if nothing had been committed."""
        kept = {name: group.positions for name, group in self.by_name.items()}
        for group in self.by_name.values():
            group.positions = {}
        encoded = super().encode()
        for name, positions in kept.items():
            self.by_name[name].positions = positions
        return encoded


class NeverLetsGo(Groups):
    """What a member that left had held is nobody's, but is not free either."""

    def _leave(self, name: str, number: int, index: Index) -> Answer:
        group = self.by_name.get(name)
        if group is not None and group.members.pop(number, None) is not None:
            self._members_changed(name, group, index)
        return Answer()


class TombstonesEarly(Compacting):
    """Tombstones go with the first pass that sees them: nobody has to give a word for it."""

    def job(self) -> Job | None:
        """As if all of them were old."""
        job = super().job()
        return replace(job, drop_upto=job.sealed[-1].last_index) if job is not None and job.sealed else job


class CompactsUncommitted(Log):
    """Segments are written anew that may yet be cut."""

    def sealed(self, commit: Index, durable: Index) -> list[Segment]:
        """As if all that is here were committed and on disk."""
        return super().sealed(max(commit, self.last_index), max(durable, self._written))


class NoFloor(Raft):
    """Followers go on without the tombstones that they never had."""

    floor = property(lambda _: Index(0), lambda _, __: None)  # type: ignore[assignment]


class AnyGeneration(Groups):
    """A member's commit is taken whoever holds the partition by now: nobody is fenced."""

    def _commit(self, name: str, number: int, positions: list[tuple[PartitionId, int, Offset]], index: Index) -> Answer:
        group = self.by_name.get(name)
        if group is None or number not in group.members:
            return super()._commit(name, number, positions, index)
        for partition, _, position in positions:
            if partition not in group.positions:
                group.changed = self.touched[name] = index
            group.positions[partition] = max(position, group.positions.get(partition, Offset(0)))
        return Answer()


Bug = type[Any]
"""A subclass of something that nodes are made of, or clients."""
PARTS = (Publishing, Log, Trimming, Groups, Compacting, Raft, Readers, Subscription)


def cluster_with(bug: Bug, base: type[PlannedCluster] = PlannedCluster) -> type[PlannedCluster]:
    """The cluster of the seeds, its nodes (or its clients) with the bug in them."""
    assert issubclass(bug, PARTS), bug

    class BuggyReplica(CheckedReplica):
        def __init__(self, *, around: Any, log: Any, **arguments: Any) -> None:
            if issubclass(bug, Publishing):
                around = replace(around, publishing_class=bug)
            if issubclass(bug, Raft):
                around = replace(around, raft_class=bug)
            if issubclass(bug, Log):
                log.__class__ = bug
            super().__init__(around=around, log=log, **arguments)
            if issubclass(bug, Trimming):
                self.trimming.__class__ = bug
            if issubclass(bug, Compacting):
                self.compacting.__class__ = bug
            if issubclass(bug, Readers):
                self.readers.__class__ = bug

        def on_turn(self, messages: Sequence[Request]) -> None:
            super().on_turn(messages)
            if issubclass(bug, ServesPastCommit):
                self.readers.advance(self.log.end_offset)

    class BuggyCluster(base):  # type: ignore[valid-type,misc]
        replica_class = BuggyReplica
        groups_class = bug if issubclass(bug, Groups) else Groups

        def client(self, name: str, options: ClientOptions | None = None) -> Client:
            client = super().client(name, options)
            return _with_subscriptions(client, bug) if issubclass(bug, Subscription) else client

    return BuggyCluster


class OftenDamaged(PlannedCluster):
    """Every few seconds the end of a log changes while its node is away, and nothing else goes wrong.

    With all faults, a damaged end is mostly one that a later term, a trim or another damage has made to be nobody's.
    """

    @classmethod
    def planned(cls, plan: Plan) -> Plan:
        """All logs in one segment each: what is damaged is the last write."""
        plain = replace(plan, limits=TopicConfig(), deletes_every_s=0.0, remakes=False, segment_bytes=64 << 20)
        return replace(plain, faults=("flip",), every_s=4.0)


def _with_subscriptions(client: Client, bug: type[Subscription]) -> Client:
    right = client.subscribe

    def subscribe(*arguments: Any, **options: Any) -> Subscription:
        subscription = right(*arguments, **options)
        subscription.__class__ = bug
        return subscription

    client.subscribe = subscribe
    return client


@contextmanager
def patched(bug: str) -> Iterator[None]:
    """With what the bug puts in the place of functions."""
    with ExitStack() as end:
        for name, wrong in PATCHES.get(bug, ()):
            end.enter_context(patch(name, wrong))
        yield


PATCHES = {"checksum_not_verified": UNCHECKED}


BUGS: dict[str, Bug] = {
    "no_deduplication": NoDeduplication,
    "leader_admits_early": AdmitsEarly,
    "no_condition": NoCondition,
    "condition_before_duplicate": ConditionFirst,
    "trims_too_much": TrimsTooMuch,
    "trims_early": TrimsEarly,
    "snapshot_forgets": SnapshotForgets,
    "never_lets_go": NeverLetsGo,
    "tombstones_early": TombstonesEarly,
    "compacts_uncommitted": CompactsUncommitted,
    "no_floor": NoFloor,
    "any_generation": AnyGeneration,
    "acknowledge_before_sync": AcknowledgeBeforeSync,
    "no_previous_entry_check": NoPreviousEntryCheck,
    "votes_twice": VotesTwice,
    "vote_not_persisted": VoteNotPersisted,
    "serves_past_commit": ServesPastCommit,
    "dedupe_lost": DedupeLost,
    "commits_before_delivery": CommitsBeforeDelivery,
    "doubt_ignored": DoubtIgnored,
    "uncounted_ignored": UncountedIgnored,
}
CLUSTERS: dict[str, type[PlannedCluster]] = {
    **{name: cluster_with(bug) for name, bug in BUGS.items()},
    **dict.fromkeys(PATCHES, PlannedCluster),
    "doubt_ignored": cluster_with(DoubtIgnored, OftenDamaged),
    "uncounted_ignored": cluster_with(UncountedIgnored, OftenDamaged),
}
"""By the bug's name, what its seeds run on."""
