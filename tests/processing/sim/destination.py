"""A destination partition: a log that commits later than it appends, and the real rules for producers' sequences."""

from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec

from cluster.broker.sequences import Append, Duplicate, Refuse, decide
from cluster.errors import DuplicateForgotten, Fenced, OutcomeUnknown, OutOfSequence, RiverrunError, TopicDeleted
from cluster.log.fold import Fold
from cluster.raft.ready import Membership
from cluster.records import Batch, Entry, EntryKind
from cluster.types import Index, PartitionId, Term

Reply = Callable[[RiverrunError | None], None]
"""None: a receipt."""


class Destination:
    """One partition. Its leaders change: what was not committed may be gone then, and who waited does not know."""

    def __init__(self, partition: PartitionId, random: Random, counts: Counter[str]) -> None:
        self.partition = partition
        self.entries: list[Entry] = []
        self.commit = 0
        self.deleted = False
        self._random = random
        self._counts = counts
        self._fold = Fold(membership=Membership(voters=()))
        self._waiting: list[tuple[int, Reply]] = []

    def publish(self, batch: Batch, reply: Reply) -> None:
        """What a leader that passes its read barrier does with a batch."""
        assert batch.is_intact(), "a batch that is not as it was sealed"
        if self.deleted:
            reply(TopicDeleted("this topic was deleted"))
            return
        match self.decide(batch):
            case Append():
                self.append(batch)
                self._waiting.append((len(self.entries), reply))
                self._counts["batches_appended"] += 1
            case Duplicate(original):
                self._counts["duplicates_answered"] += 1
                if original.index <= self.commit:
                    reply(None)
                else:
                    self._waiting.append((original.index, reply))
            case Refuse(error):
                self._counts[
                    {
                        Fenced: "fenced",
                        DuplicateForgotten: "duplicates_forgotten",
                        OutOfSequence: "gaps_refused",
                    }.get(type(error), "unknown_producers_refused")
                ] += 1
                reply(error)

    def decide(self, batch: Batch) -> Append | Duplicate | Refuse:
        """By the rules."""
        return decide(self._fold.producers.get(batch.producer_id), batch)

    def append(self, batch: Batch) -> None:
        """At the end, not committed."""
        entry = Entry(
            index=Index(len(self.entries) + 1),
            term=Term(1),
            kind=EntryKind.BATCH,
            base_offset=self._fold.end_offset,
            append_time_ns=0,
            batch=batch,
        )
        self._fold.apply(entry)
        self.entries.append(entry)

    def commit_more(self, upto: int | None = None) -> None:
        """The commit moves, by chance or to there."""
        self.commit = self._random.randint(self.commit, len(self.entries)) if upto is None else upto
        due = [reply for index, reply in self._waiting if index <= self.commit]
        self._waiting = [waiter for waiter in self._waiting if waiter[0] > self.commit]
        for reply in due:
            reply(None)

    def change_leader(self) -> None:
        """The next one has what is committed, and perhaps more."""
        kept = self._random.randint(self.commit, len(self.entries))
        self._counts["destination_entries_truncated"] += len(self.entries) - kept
        entries, self.entries = self.entries[:kept], []
        self._fold = Fold(membership=Membership(voters=()))
        for entry in entries:
            assert entry.batch is not None
            self.append(entry.batch)
        waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            reply(OutcomeUnknown("the leader changed"))

    def delete(self) -> None:
        """For good."""
        self.deleted = True
        waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            reply(OutcomeUnknown("the topic is going"))

    def records(self) -> list[list[object]]:
        """All that is committed, in order."""
        found = []
        for entry in self.entries[: self.commit]:
            assert entry.batch is not None
            found += msgspec.msgpack.decode(entry.batch.payload)
        return found
