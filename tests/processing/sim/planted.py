"""The real code with one rule broken each, to score the seeds: what cannot find these proves nothing about others.

`previous` contains most of the other rules for runners that compute rightly (see `cluster.processing.ledger`), so each
of those is broken in a ledger that does not have it: there it is all that stands between a task and that harm.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from cluster.broker.sequences import APPEND, Append, Duplicate, Refuse
from cluster.errors import DuplicateForgotten, Fenced, RiverrunError
from cluster.processing.commit import TaskCommit
from cluster.processing.ledger import Ledger, Refused
from cluster.processing.shipping import Send, Shipping
from cluster.records import Batch
from cluster.types import PartitionId, Term
from tests.processing.sim.destination import Destination
from tests.processing.sim.task import Task

if TYPE_CHECKING:
    from tests.processing.sim.world import World


def by_id(world: "World", partition: PartitionId) -> Destination:
    """Where a batch for that partition goes."""
    return world.destinations[partition]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a seed runs with."""

    ledger: type[Ledger] = Ledger
    task: type[Task] = Task
    destination: Callable[[PartitionId, Random, "Counter[str]"], Destination] = Destination
    address: Callable[["World", PartitionId], Destination] = by_id


class NoPrevious(Ledger):
    """A commit is taken whatever it was made from, if numbers fit."""

    def _previous(self, commit: TaskCommit) -> Refused | None:  # noqa: ARG002
        return None


class NoTerm(NoPrevious):
    """A commit is taken in whatever term it is appended."""

    def _term(self, commit: TaskCommit, term: Term) -> Refused | None:  # noqa: ARG002
        return None


class NoNumber(NoPrevious):
    """A commit is taken whatever its number."""

    def _number(self, commit: TaskCommit) -> Refused | None:  # noqa: ARG002
        return None


class NoPosition(NoPrevious):
    """A commit is taken wherever it began to read."""

    def _position(self, commit: TaskCommit) -> Refused | None:  # noqa: ARG002
        return None


class NoSequence(NoPrevious):
    """A commit is taken whatever its sequences."""

    def _sequence(self, commit: TaskCommit) -> Refused | None:  # noqa: ARG002
        return None


class NoTimer(NoPrevious):
    """A commit may fire timers that are not there."""

    def _timer(self, commit: TaskCommit) -> Refused | None:  # noqa: ARG002
        return None


class SparseTask(Task):
    """Outputs are known by the input offset that they came from."""

    def sequence(self, dense: int, records: list[list[object]]) -> int:
        return max((record[2] for record in records if record[0] == "record"), default=dense) + 1


class SparseDestination(Destination):
    """What is not beyond the last key is a duplicate."""

    last = 0

    def decide(self, batch: Batch) -> Append | Duplicate | Refuse:
        if batch.base_sequence > self.last:
            self.last = batch.base_sequence
            return APPEND
        return Duplicate(self._fold.producers[batch.producer_id].recent[-1])


class SparseLedger(NoSequence, Ledger):
    """Takes them."""

    def _previous(self, commit: TaskCommit) -> Refused | None:
        return Ledger._previous(self, commit)


class ShippedWhenSent(Shipping):
    """What was sent counts as shipped."""

    def take(self) -> list[Send]:
        sends = super().take()
        for send in sends:
            self.received(send)
        return sends


class ShippedWhenFenced(Shipping):
    """A refusal that says "it is here" is taken for a receipt, though what is here may not be committed."""

    def refused(self, send: Send, error: RiverrunError) -> None:
        if isinstance(error, Fenced | DuplicateForgotten):
            self.received(send)
        else:
            super().refused(send, error)


class ShippedByNumber(Shipping):
    """`shipped_upto` is the last commit of which something has arrived, whatever is missing before it."""

    def received(self, send: Send) -> None:
        super().received(send)
        self.shipped_upto = max(self.shipped_upto, send.n)


def _shipping(shipping: type[Shipping]) -> Rules:
    return Rules(task=type(shipping.__name__, (Task,), {"shipping_class": shipping, "__doc__": shipping.__doc__}))


class _ByNameTask(Task):
    """Goes by names: the topic that was made anew is the same one."""


def _by_name(world: "World", partition: PartitionId) -> Destination:
    return world.made_anew.get(partition, world.destinations[partition])


RIGHT = Rules()
ALONE = "no_previous"
"""Broken in the ledgers of BESIDE as well: a seed finds one of those if it finds nothing with this one alone."""
BESIDE = {"no_term", "no_number", "no_position", "no_sequence", "no_timer"}

BUGS: dict[str, Rules] = {
    "no_previous": Rules(ledger=NoPrevious),
    "no_term": Rules(ledger=NoTerm),
    "no_number": Rules(ledger=NoNumber),
    "no_position": Rules(ledger=NoPosition),
    "no_sequence": Rules(ledger=NoSequence),
    "no_timer": Rules(ledger=NoTimer),
    "sparse_sequences": Rules(ledger=SparseLedger, task=SparseTask, destination=SparseDestination),
    "shipped_when_sent": _shipping(ShippedWhenSent),
    "shipped_when_fenced": _shipping(ShippedWhenFenced),
    "shipped_by_number": _shipping(ShippedByNumber),
    "made_anew_is_the_same": Rules(task=_ByNameTask, address=_by_name),
}
