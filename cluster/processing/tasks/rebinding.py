"""A task's topics are others than it began with: deleted, and made again under their names. Pure.

Its records are others, so nobody takes them for those that were read: the task stops. When somebody says that it is to
go on (resume, or other code), a commit puts the new topics in the place of the old ones: they are read from their
start, and written from sequence 0. State, timers and the watermark stay, so what is older than the watermark is late.
What was on its way to a topic that was deleted is gone with it; and if that held dead letters, no key waits for them.
A sink is told which topic it is, for at its destination there may be positions in the old one.

It must have as many partitions as before, for state is where the keys of those partitions are.

The topic of dead letters may also be another one because other code says so; then it is taken up without further ado.
"""

from collections.abc import Collection, Mapping

import msgspec

from cluster.errors import TopicDeleted
from cluster.processing.commit import Rebind, TaskCommit
from cluster.processing.ledger import Ledger
from cluster.processing.parking import PARKED_STORE
from cluster.processing.spec import Kind
from cluster.processing.stages import processor_of
from cluster.processing.state import REMADE_STORE
from cluster.processing.tasks.feed import Source
from cluster.processing.tasks.plan import Plan
from cluster.processing.work import StateChange
from cluster.types import Offset, PartitionId, Term

REMADE_DIGITS = 8
"""Of a topic's id: enough to tell it from others that had its name."""


def new_sources(plan: Plan, ledger: Ledger) -> list[Source]:
    """What it reads now, and has not begun with."""
    return [source for source in (*plan.sources, *plan.parked) if source.partition not in ledger.positions]


def is_rebound(plan: Plan, ledger: Ledger) -> bool:
    """Whether one of its topics is another one."""
    assert ledger.begin is not None, "the task has begun"
    begun = ledger.begin.outputs
    return bool(new_sources(plan, ledger)) or any(output.topic not in begun for output in plan.outputs)


def is_for_letters(plan: Plan, ledger: Ledger) -> bool:
    """Whether that is the topic of its dead letters, and nothing else: `on_error` is another one now."""
    assert ledger.begin is not None, "the task has begun"
    letters = {source.partition.topic for source in plan.parked}
    new = {source.partition.topic for source in new_sources(plan, ledger)}
    new |= {output.topic for output in plan.outputs if output.topic not in ledger.begin.outputs}
    return bool(new) and new <= letters


def rebinding(plan: Plan, ledger: Ledger, firsts: Mapping[PartitionId, Offset], *, term: Term) -> TaskCommit:
    """The commit that does it. `firsts`: where `new_sources` begin. TopicDeleted: it has other partitions."""
    assert ledger.begin is not None, "the task has begun"
    before = ledger.begin.partitions
    for topic in plan.inputs:
        if before and len(topic.partitions) != before:
            raise TopicDeleted(
                f"the topic {topic.name!r} was deleted and made again with {len(topic.partitions)} partitions, and had "
                f"{before}: the processor's state is by those"
            )
    sources = (*plan.sources, *plan.parked)
    positions = {
        s.partition: firsts[s.partition] if s.partition in firsts else ledger.positions[s.partition] for s in sources
    }
    letters_gone = any(source.partition in firsts for source in plan.parked)
    return TaskCommit(
        term=term,
        n=ledger.n + 1,
        previous=ledger.checksum,
        now_ns=ledger.now_ns,
        watermark_ns=ledger.watermark_ns,
        inputs=[],
        state=[
            *([StateChange(store=PARKED_STORE, key=b"", value=None)] if letters_gone else []),
            *_remade(plan, firsts),
        ],
        timers=[],
        fired=[],
        outputs=[],
        shipped_upto=ledger.shipped_upto,
        rebind=Rebind(inputs=sorted(positions.items()), outputs=[output.topic for output in plan.outputs]),
    )


def _remade(plan: Plan, firsts: Collection[PartitionId]) -> list[StateChange]:
    """For a sink, by name: which topics its inputs are now."""
    if plan.spec.kind is not Kind.SINK:
        return []
    remade = {
        source.topic.name: source.topic.id for source in (*plan.sources, *plan.parked) if source.partition in firsts
    }
    return [
        StateChange(store=REMADE_STORE, key=name.encode(), value=msgspec.msgpack.encode(topic.hex()[:REMADE_DIGITS]))
        for name, topic in sorted(remade.items())
    ]


def way_out(plan: Plan) -> str:
    """What somebody can do about a topic that was deleted."""
    name = f"{plan.app.name} {processor_of(plan.spec)}@{plan.spec.version}"
    return (
        f"to go on with a new topic of that name, from its start, make it (an input with {plan.partitions} partitions) "
        f"and say: riverrun app resume {name}; or deploy the processor under a new version, which begins anew"
    )
