"""When a leader forgets producers, and what that means for them."""

import asyncio
from dataclasses import replace

from cluster.broker.expiry import Expiry
from cluster.broker.sequences import Append, Refuse, decide
from cluster.config import NodeConfig
from cluster.log.fold import Fold, encode_expired
from cluster.raft import Membership
from cluster.records import Batch, Entry, EntryKind, Record
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import Index, ProducerId, Term
from cluster.wire.records import make_batch


def batch(producer: int, sequence: int) -> Batch:
    """One record of a producer."""
    made = make_batch([Record(value=b"v", timestamp_ns=1)])
    return replace(made, producer_id=ProducerId(producer), producer_epoch=0, base_sequence=sequence)


def append(fold: Fold, **content: object) -> None:
    """The next entry."""
    fold.apply(
        Entry(index=Index(fold.index + 1), term=Term(1), base_offset=fold.end_offset, append_time_ns=1, **content)  # type: ignore[arg-type]
    )


def test_who_is_quiet_for_a_whole_period_is_forgotten():
    """Between one and two periods; whoever appends stays."""
    fold, expiry = Fold(membership=Membership(voters=())), Expiry(100, set[ProducerId]().__contains__)
    append(fold, kind=EntryKind.BATCH, batch=batch(1, 0))
    assert [] == expiry.due(fold, 10)
    append(fold, kind=EntryKind.BATCH, batch=batch(2, 0))
    assert [] == expiry.due(fold, 109)
    assert [1] == expiry.due(fold, 110)
    append(fold, kind=EntryKind.EXPIRE_PRODUCERS, control=encode_expired([ProducerId(1)]))
    append(fold, kind=EntryKind.BATCH, batch=batch(2, 1))
    assert [] == expiry.due(fold, 210)
    assert [2] == expiry.due(fold, 310)


def test_who_lives_is_never_forgotten():
    """A task says nothing for months, and goes on where it was; its neighbours are forgotten as ever."""
    living = {ProducerId(1)}
    fold, expiry = Fold(membership=Membership(voters=())), Expiry(100, living.__contains__)
    append(fold, kind=EntryKind.BATCH, batch=batch(1, 0))
    append(fold, kind=EntryKind.BATCH, batch=batch(2, 0))
    assert [[], [2]] == [expiry.due(fold, 10), expiry.due(fold, 110)]
    assert 2 == len(expiry.due(fold, 210) + expiry.due(fold, 310))
    living.clear()
    assert 1 in expiry.due(fold, 410)


def test_a_new_leader_begins_anew():
    """What it did not watch itself it does not count."""
    fold, expiry = Fold(membership=Membership(voters=())), Expiry(100, set[ProducerId]().__contains__)
    append(fold, kind=EntryKind.BATCH, batch=batch(1, 0))
    assert [] == expiry.due(fold, 0)
    expiry.restart()
    assert [] == expiry.due(fold, 150)
    assert [] == expiry.due(fold, 249)
    assert [1] == expiry.due(fold, 250)


def test_a_forgotten_producer_begins_anew_and_is_never_guessed_at():
    """Its next sequence is refused by name; a fresh one begins at 0."""
    fold = Fold(membership=Membership(voters=()))
    append(fold, kind=EntryKind.BATCH, batch=batch(1, 0))
    append(fold, kind=EntryKind.EXPIRE_PRODUCERS, control=encode_expired([ProducerId(1)]))
    again = decide(fold.producers.get(ProducerId(1)), batch(1, 1))
    assert isinstance(again, Refuse)
    assert "UNKNOWN_PRODUCER" == again.error.reason
    assert isinstance(decide(fold.producers.get(ProducerId(3)), batch(3, 0)), Append)


class ShortMemory(SimCluster):
    """Producers are forgotten after two seconds."""

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(config, broker=replace(config.broker, producer_expiry_s=2.0))


async def _forget() -> list[set[int]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = ShortMemory(loop)
    await cluster.start_all()
    quiet, busy = cluster.client("quiet"), cluster.client("busy")
    await asyncio.sleep(5)  # of virtual time: they find each other and choose a controller
    await quiet.create_topic("t", partitions=1, replicas=3)
    await quiet.publish("t", b"once")
    for _ in range(8):
        await busy.publish("t", b"again")
        await asyncio.sleep(1)
    replicas = [run.replica for node in cluster.running.values() for run in node.broker.running.values()]
    known = [set(map(int, replica.log.fold.producers)) for replica in replicas]
    await quiet.publish("t", b"back, under another identity")
    await quiet.abandon()
    await busy.abandon()
    return known


def test_all_replicas_forget_the_same_producer():
    """Three nodes: who published once is forgotten everywhere, who keeps publishing is not, and both may go on."""
    known = simulate(_forget(), 5)[0]
    assert 1 == len(known[0])
    assert known[0] == known[1] == known[2]
