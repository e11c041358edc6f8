"""What a node that does not run has of the quorum on its disk; and a configuration put there that goes on from it.

Only for a quorum whose majority is lost for good (`cluster.node.recovery`): nothing here asks anybody. What is read is
everything in the journal, confirmed or not: of the members that are left, the one whose journal goes furthest has all
that any of them knows to be decided (§5.4.1 of the Raft paper), and perhaps proposals that nobody has confirmed.
"""

import msgspec

from cluster.controller.quorum.guards import command_in
from cluster.controller.quorum.storage import Beginning, Record, Storage
from cluster.controller.state import MetadataState
from cluster.metadata import QuorumConfiguration
from cluster.world import Disk


class KnownQuorum(msgspec.Struct, frozen=True, kw_only=True):
    """`configuration`: the newest that the node has heard of. `journal`: the number of its newest journal; 0: none.

    `state`: what the journal adds up to; `sealed`: the configuration that it is about, one more than `journal` where
    it ends with a seal. `term` and `index`: of its last entry; `confirmed`: up to there its node knew it decided.
    """

    configuration: QuorumConfiguration
    journal: int = 0
    sealed: int = 0
    term: int = 0
    index: int = 0
    confirmed: int = 0
    state: bytes = b""

    @property
    def reach(self) -> tuple[int, int, int]:
        """How far it goes: of several, the greatest is to go on."""
        return self.journal, self.term, self.index


def read_quorum(disk: Disk) -> KnownQuorum:
    """CorruptStorage: what should be there is not, or is damaged."""
    storage = Storage(disk)
    record, journals = storage.record(), storage.journals()
    heard = record.configuration if record is not None else QuorumConfiguration(number=0)
    if not journals:
        return KnownQuorum(configuration=heard)
    number = journals[-1]
    journal, beginning = storage.open(number)
    try:
        state = MetadataState()
        state.quorum = QuorumConfiguration(number=number)
        if beginning is not None:
            state.restore(beginning.state)
        for raw, _, _ in journal:
            proposal = command_in(raw)
            if proposal is not None:
                state.apply(proposal)
            if state.quorum.number > number:
                break  # the seal: nothing behind it counts
        told = [heard, *([beginning.configuration] if beginning is not None else []), state.quorum]
        _, index, term = journal[-1] if len(journal) else (b"", 0, 0)
        return KnownQuorum(
            configuration=max((one for one in told if one.seats), key=lambda one: one.number, default=heard),
            journal=number,
            sealed=state.quorum.number,
            term=term,
            index=index,
            confirmed=min(journal.getRaftCommitIndex(), index),
            state=state.encode(),
        )
    finally:
        journal._destroy()  # noqa: SLF001


def newest_journal(disk: Disk) -> int:
    """The configuration of the newest journal; 0: there is none."""
    return (Storage(disk).journals() or [0])[-1]


def has_another(disk: Disk, configuration: QuorumConfiguration, state: bytes) -> bool:
    """Whether a configuration of this number is there that began otherwise."""
    storage, number = Storage(disk), configuration.number
    if number not in storage.journals():
        return False
    journal, found = storage.open(number)
    journal._destroy()  # noqa: SLF001
    return found != Beginning(configuration=configuration, state=state)


def write_quorum(disk: Disk, configuration: QuorumConfiguration, state: bytes, *, seated: bool) -> None:
    """The node takes part in this configuration, or follows it, from its next start on; on disk when this returns.

    It may be done again after a crash.
    """
    storage = Storage(disk)
    number = configuration.number
    if seated:
        journal, _ = storage.open(number, Beginning(configuration=configuration, state=state))
        journal._destroy()  # noqa: SLF001
    storage.write_record(Record(configuration=configuration, journal=number if seated else 0))
    storage.remove_before(number + (not seated))
