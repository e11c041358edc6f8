"""A rewritten file whose disk work is queued: no pass begins before it has taken its place."""

import asyncio

from cluster.broker.requests import SegmentsRewritten
from cluster.log import Log
from cluster.log.mark import Mark
from cluster.log.rewriting import Rewriting, read_sealed
from cluster.log.write import MarkRecovering, perform
from cluster.messages import AppendReply
from cluster.metadata import TopicConfig
from tests.broker.test_turns import DIRECTORY, IDENTITY, ME, OTHER, One, a_disk, said
from tests.log.test_crash import OPTIONS
from tests.log.test_rewriting import all_of, thinned


def leading() -> One:
    """Of a compacted partition, with several sealed segments, all of it committed."""
    one = One(a_disk(entries=20))
    one.replica.configure(TopicConfig(compacted=True))
    one.lead()
    raft = one.replica.raft
    one.replica.on_turn(
        [said(AppendReply(sender=OTHER.replica, to=ME.replica, term=raft.term, match=one.replica.log.last_index))]
    )
    one.settle()
    assert raft.commit == one.replica.log.last_index
    return one


def take_one_in(one: One) -> None:
    """What a pass has written in the place of the first segment: the turn takes it in, and the disk hangs."""
    job = one.replica.compacting.job()
    assert job is not None
    old = job.sealed[:1]
    rewriting = Rewriting(one.writer.disk, old[0], IDENTITY)
    entries, _ = read_sealed(old[0], 0, IDENTITY.partition, bytes_max=1 << 20)
    rewriting.add([thinned(item, lambda _: False) for item in entries])
    new = rewriting.finish(old[0])
    loop = asyncio.new_event_loop()
    reply: asyncio.Future[bool] = loop.create_future()
    one.replica.on_turn([SegmentsRewritten(tuple(old), new, drops_tombstones=False, reply=reply)])
    assert reply.result()
    loop.close()


def next_pass(one: One) -> bool:
    """It begins with its first file, if there is something to do; whether there was."""
    job = one.replica.compacting.job()
    if job is not None:
        Rewriting(one.writer.disk, job.sealed[0], IDENTITY)
    return job is not None


def test_no_pass_begins_before_the_last_one_s_file_is_in_its_place() -> None:
    """It had emptied that file, which has the same name; then the empty one took the segment's place."""
    one = leading()
    take_one_in(one)
    assert not next_pass(one)
    one.settle()
    log = one.replica.log
    before = all_of(log)
    assert next_pass(one), "now it may"
    log.close()
    again = Log.open(one.writer.disk, DIRECTORY, IDENTITY, OPTIONS)
    assert not again.recovered.recovering
    assert before == all_of(again)


def test_a_full_disk_does_not_hold_up_the_next_pass() -> None:
    """A file takes its place to make room; what waits for room is not waited for."""
    one = leading()
    log, disk = one.replica.log, one.writer.disk
    take_one_in(one)
    log.pending.add(MarkRecovering(Mark((log.last_index, one.replica.raft.term))))
    disk.capacity_bytes = 0
    write = log.take_write()
    assert write is not None
    assert {0} == perform(disk, {0: write})
    log.written(write, full=True)
    assert one.replica.compacting.job() is not None
