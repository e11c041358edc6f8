"""What this node has to tell all others: collected as it happens, sent as one report."""

from collections.abc import Callable

from cluster.metadata import Report, ReportedMembership
from cluster.types import NodeId, PartitionId, ReplicaId, Term


class Reports:
    """Changes since the last report, and what a full one holds."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._leading: dict[PartitionId, Term] = {}
        self._new: dict[PartitionId, Term] = {}
        self._resigned: dict[PartitionId, None] = {}
        self._initialised: dict[ReplicaId, None] = {}
        self._lost: dict[ReplicaId, None] = {}
        self._dropped: dict[ReplicaId, None] = {}
        self._memberships: dict[PartitionId, ReportedMembership] = {}
        self._changed: dict[PartitionId, ReportedMembership] = {}
        self._unknown = 0
        self._leaving = False
        self._full = True
        self.on_change: Callable[[], None] = lambda: None

    def leads(self, partition: PartitionId, term: Term) -> None:
        """The partition is led from here since `term`."""
        if self._leading.get(partition) != term:
            self._leading[partition] = self._new[partition] = term
            self._resigned.pop(partition, None)
            self.on_change()

    def resigns(self, partition: PartitionId) -> None:
        """The partition is not led from here any more."""
        if self._leading.pop(partition, None) is not None:
            self._new.pop(partition, None)
            self._memberships.pop(partition, None)
            self._changed.pop(partition, None)
            self._resigned[partition] = None
            self.on_change()

    def initialised(self, replica: ReplicaId) -> None:
        """The replica's log exists here."""
        self._initialised[replica] = None
        self.on_change()

    def lost(self, replica: ReplicaId) -> None:
        """The replica's log should exist here and does not."""
        self._lost[replica] = None
        self.on_change()

    def membership(self, partition: PartitionId, told: ReportedMembership) -> None:
        """What a leader here says of its membership."""
        if partition in self._leading and self._memberships.get(partition) != told:
            self._memberships[partition] = self._changed[partition] = told
            self.on_change()

    def dropped(self, replica: ReplicaId) -> None:
        """The replica had to go, and there are no files of it here."""
        self._dropped[replica] = None
        self.on_change()

    def unknown(self, directories: int) -> None:
        """So many directories of replicas are here that nobody has assigned."""
        if self._unknown != directories:
            self._unknown = directories
            self.on_change()

    def leaves(self) -> None:
        """The node is about to stop: each report says so from now on."""
        self._leaving = True
        self.on_change()

    def is_lost(self, replica: ReplicaId) -> bool:
        """Whether it was reported as lost."""
        return replica in self._lost

    def recorded(self, replica: ReplicaId) -> None:
        """The controller knows: no need to say it again."""
        self._initialised.pop(replica, None)

    def gone(self, replica: ReplicaId) -> None:
        """The controller has no such replica any more: whatever was to be said of it."""
        for waiting in (self._initialised, self._lost, self._dropped):
            waiting.pop(replica, None)

    def want_full(self) -> None:
        """A link came up: the next report says everything."""
        self._full = True
        self.on_change()

    def take(self, metadata_version: int) -> Report:
        """The report to send now. What the controller has to record is repeated until it has."""
        report = Report(
            node=self._me,
            metadata_version=metadata_version,
            leaders=dict(self._leading if self._full else self._new),
            resigned=() if self._full else tuple(self._resigned),
            initialised=tuple(self._initialised),
            lost=tuple(self._lost),
            memberships=dict(self._memberships if self._full else self._changed),
            dropped=tuple(self._dropped),
            unknown=self._unknown,
            leaving=self._leaving,
            full=self._full,
        )
        self._full = False
        self._new.clear()
        self._changed.clear()
        self._resigned.clear()
        return report

    @property
    def unrecorded(self) -> bool:
        """Whether something waits for the controller's record."""
        return bool(self._initialised or self._lost or self._dropped)
