"""The rules by which a task's commit counts, one by one; and the ledger's and the commit's formats."""

import msgspec
import pytest

from cluster.errors import RefusedToStart
from cluster.processing import ledger as ledgers
from cluster.processing.commit import (
    Begin,
    Outgoing,
    Read,
    Rebind,
    TaskCommit,
    batches,
    checksum_of,
    decode,
    encode,
    outgoing,
)
from cluster.processing.ledger import Accepted, Ledger, Refused, Rule
from cluster.processing.work import BEFORE_ALL_TIME_NS, Failure, Fired, StateChange, TimerChange, TimerClock
from cluster.records import Record
from cluster.types import Index, Offset, PartitionId, ProducerId, Term, TopicId
from cluster.wire.records import make_batch

IN, OTHER = PartitionId(TopicId(b"i" * 16), 0), PartitionId(TopicId(b"j" * 16), 3)
OUT, AWAY = PartitionId(TopicId(b"o" * 16), 1), PartitionId(TopicId(b"a" * 16), 1)
BEGIN = Begin(
    app="retail",
    processor="fraud",
    version="1",
    task=0,
    tasks=3,
    producer=ProducerId(9),
    inputs=[(IN, Offset(5)), (OTHER, Offset(0))],
    outputs=[OUT.topic],
)


def out(sequence: int, count: int = 1, destination: PartitionId = OUT) -> Outgoing:
    """A sealed batch."""
    batch = make_batch(
        [Record(value=b"v", timestamp_ns=1)] * count, producer_id=9, producer_epoch=1, base_sequence=sequence
    )
    return outgoing(batch, destination)


class Script:
    """A log of one term, and commits that follow each other unless told otherwise."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.index = 0
        self.do(BEGIN)

    def do(self, command: Begin | TaskCommit, term: int = 1) -> Accepted | Refused:
        self.index += 1
        return self.ledger.apply(encode(command), Index(self.index), Term(term))

    def commit(self, **fields: object) -> TaskCommit:
        defaults = {
            "term": 1,
            "n": self.ledger.n + 1,
            "previous": self.ledger.checksum,
            "now_ns": 0,
            "watermark_ns": 0,
            "inputs": [],
            "state": [],
            "timers": [],
            "fired": [],
            "outputs": [],
            "shipped_upto": 0,
        }
        return TaskCommit(**{**defaults, **fields})

    def refused(self, rule: Rule, *, term: int = 1, **fields: object) -> None:
        """It is a no-op, by that rule."""
        before = self.ledger.encode()
        verdict = self.do(self.commit(**fields), term)
        assert isinstance(verdict, Refused), verdict
        assert rule == verdict.rule, verdict
        assert before == self.ledger.encode()

    def accepted(self, **fields: object) -> None:
        commit = self.commit(**fields)
        assert Accepted(commit.n) == self.do(commit)


def test_a_task_begins_once():
    """And not with a commit."""
    ledger = Ledger()
    early = Script().commit(previous=0)
    assert Rule.BEGIN == ledger.apply(encode(early), Index(1), Term(1)).rule
    assert Accepted(0) == ledger.apply(encode(BEGIN), Index(2), Term(1))
    assert {IN: 5, OTHER: 0} == ledger.positions
    again = msgspec.structs.replace(BEGIN, inputs=[(IN, Offset(0))])
    assert Rule.BEGIN == ledger.apply(encode(again), Index(3), Term(1)).rule
    assert {IN: 5, OTHER: 0} == ledger.positions


def test_a_commit_counts_in_its_own_term_only():
    """It may wait in a mailbox until its maker leads again."""
    script = Script()
    script.refused(Rule.TERM, term=3)
    script.accepted()
    assert Term(1) == script.ledger.term


def test_commits_are_numbered_without_gaps():
    """None is left out, none comes twice."""
    script = Script()
    first = script.commit()
    assert Accepted(1) == script.do(first)
    assert Rule.NUMBER == script.do(first).rule
    script.refused(Rule.NUMBER, n=3)
    script.accepted(n=2)


def test_a_commit_made_from_a_lost_one_is_refused():
    """A runner that was started again commits another result with the same numbers; the old one's next one comes."""
    script = Script()
    state = [StateChange(store="s", key=b"k", value=b"lost")]
    lost = script.commit(inputs=[Read(input=IN, begin=5, end=6)], state=state, outputs=[out(0)])
    later = script.commit(
        n=2, previous=checksum_of(encode(lost)), inputs=[Read(input=IN, begin=6, end=7)], outputs=[out(1)]
    )
    script.accepted(inputs=[Read(input=IN, begin=5, end=6)], outputs=[out(0)])

    assert Refused(Rule.PREVIOUS, "commit 2 was made from another commit 1 than the one here") == script.do(later)


@pytest.mark.parametrize(
    "inputs",
    [
        [Read(input=IN, begin=4, end=6)],
        [Read(input=IN, begin=6, end=7)],
        [Read(input=IN, begin=5, end=4)],
        [Read(input=IN, begin=5, end=6), Read(input=IN, begin=6, end=7)],
        [Read(input=PartitionId(IN.topic, 1), begin=0, end=1)],
        [Read(input=OTHER, begin=0, end=1), Read(input=IN, begin=0, end=1)],
    ],
)
def test_every_input_is_read_from_its_position(inputs):
    """It is an owned one, read once, forward."""
    script = Script()
    script.refused(Rule.POSITION, inputs=inputs)
    script.accepted(inputs=[Read(input=IN, begin=5, end=7), Read(input=OTHER, begin=0, end=0)])
    assert {IN: 7, OTHER: 0} == script.ledger.positions


@pytest.mark.parametrize(
    "outputs", [[out(1)], [out(0, 2), out(1)], [out(0, 2), out(3)], [out(0, destination=AWAY)], [out(0), out(0)]]
)
def test_sequences_are_dense_for_each_destination(outputs):
    """From 0, also within a commit; and of topics that the task may write to."""
    script = Script()
    script.refused(Rule.SEQUENCE, outputs=outputs)
    next_ = PartitionId(OUT.topic, 0)
    script.accepted(outputs=[out(0, 2), out(0, destination=next_), out(2)])
    assert {OUT: 3, next_: 1} == script.ledger.sequences
    script.accepted(outputs=[out(3)])
    script.refused(Rule.SEQUENCE, outputs=[out(3)])


def test_a_timer_fires_once_and_at_its_time():
    """It may be set again in the same commit; moved, its old time is gone."""
    script = Script()
    timer, fired = TimerChange(key=b"k", name="t", at_ns=10), Fired(key=b"k", name="t", at_ns=10)
    script.refused(Rule.TIMER, fired=[fired])
    script.accepted(timers=[timer])
    script.refused(Rule.TIMER, fired=[Fired(key=b"k", name="t", at_ns=11)])
    script.refused(Rule.TIMER, fired=[fired, fired])
    script.accepted(fired=[fired], timers=[msgspec.structs.replace(timer, at_ns=20, clock=TimerClock.PROCESSING)])
    script.refused(Rule.TIMER, fired=[fired])
    assert [] == script.ledger.timers.due(TimerClock.EVENT, 100, 9)
    assert [Fired(key=b"k", name="t", at_ns=20)] == script.ledger.timers.due(TimerClock.PROCESSING, 20, 9)
    assert [] == script.ledger.timers.due(TimerClock.PROCESSING, 19, 9)
    script.accepted(timers=[msgspec.structs.replace(timer, at_ns=None)])
    script.refused(Rule.TIMER, fired=[Fired(key=b"k", name="t", at_ns=20)])
    assert (0, 0) == (len(script.ledger.timers), script.ledger.timers.bytes)


def test_timers_weigh_at_most_so_much(monkeypatch):
    """What is there can be moved; one more cannot be set."""
    monkeypatch.setattr(ledgers, "TIMERS_BYTES_MAX", 40)
    script = Script()
    timers = [TimerChange(key=b"k", name=name, at_ns=1) for name in "ab"]
    script.accepted(timers=timers)
    script.refused(Rule.FULL, timers=[TimerChange(key=b"k", name="c", at_ns=1)])
    script.accepted(timers=[msgspec.structs.replace(timer, at_ns=2) for timer in timers])


def test_shipped_upto_is_behind_and_never_falls():
    """And what is shipped is not remembered."""
    script = Script()
    script.refused(Rule.SHIPPED, shipped_upto=1)
    script.accepted(outputs=[out(0)])
    script.accepted()
    script.accepted(outputs=[out(1)])
    assert [(1, 3), (3, 5)] == [(unshipped.n, unshipped.index) for unshipped in script.ledger.unshipped]
    assert (2, 0) == (script.ledger.trim_limit(Index(9)), script.ledger.trim_limit(Index(0)))
    script.accepted(shipped_upto=2)
    script.refused(Rule.SHIPPED, shipped_upto=1)
    script.refused(Rule.SHIPPED, shipped_upto=5)
    assert [(3, 5)] == [(unshipped.n, unshipped.index) for unshipped in script.ledger.unshipped]
    script.accepted(shipped_upto=4)
    assert (0, 9) == (len(script.ledger.unshipped), script.ledger.trim_limit(Index(9)))


def test_times_never_go_back():
    """A new leader's clock may be behind: that is no reason to refuse it."""
    script = Script()
    assert BEFORE_ALL_TIME_NS == script.ledger.watermark_ns
    script.accepted(now_ns=10, watermark_ns=-5)
    script.accepted(now_ns=4, watermark_ns=-9)
    assert (10, -5) == (script.ledger.now_ns, script.ledger.watermark_ns)


def whole() -> Script:
    """A ledger with something in every field."""
    script = Script()
    script.accepted(
        now_ns=7,
        watermark_ns=-3,
        inputs=[Read(input=IN, begin=5, end=7)],
        state=[StateChange(store="s", key=b"k", value=b"v")],
        timers=[TimerChange(key=b"k", name="t", at_ns=10), TimerChange(key=b"a", name="t", at_ns=5)],
        outputs=[out(0, 2)],
        counts={"late": 2},
    )
    script.accepted(outputs=[out(2)], shipped_upto=1, counts={"late": 1, "skipped": 1})
    return script


LEDGER_1 = (
    "019c99a5626567696ea672657461696ca56672617564a131000309929292c4106969696969696969696969696969696900059292c410"
    "6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a030091c4106f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f0201cea01373e00700019293c410696969"
    "69696969696969696969696969000793c4106a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a03009193c4106f6f6f6f6f6f6f6f6f6f6f6f6f6f"
    "6f6f01039294c40161a174050094c4016ba1740a0091930203079292a46c6174650392a7736b697070656401"
)
COMMIT_1 = (
    "019da6636f6d6d69740103cea01373e00000919392c410696969696969696969696969696969690007089193a173c4016bc09194c401"
    "6ba17503009193c40161a17405919992c4106f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f010301c4070a050a0176200100070101cec777e6"
    "490281a46c61746501"
)


LEDGER_2 = (
    "019e9aa5626567696ea672657461696ca56672617564a131000309929292c4106969696969696969696969696969696900059292c4106a"
    "6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a030091c4106f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f000301ce2939158d0700019293c41069696969"
    "696969696969696969696969000793c4106a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a03009193c4106f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f"
    "01039294c40161a174050094c4016ba1740a0091930203079292a46c6174650392a7736b69707065640196ae56616c75654572726f723a"
    "206e6fa7736b6970706564a573616c65730107099193c4106a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a0304"
)
COMMIT_2 = (
    "01dc0010a6636f6d6d69740104ce2939158d0000919392c41069696969696969696969696969696969000708909090919992c4106f6f6f"
    "6f6f6f6f6f6f6f6f6f6f6f6f6f010301c4070a050a0176200100070101cec777e649028096ae56616c75654572726f723a206e6fa7736b"
    "6970706564a573616c657301070990c0"
)


def sample() -> TaskCommit:
    """The commit after `whole`."""
    return whole().commit(
        inputs=[Read(input=IN, begin=7, end=8)],
        state=[StateChange(store="s", key=b"k", value=None)],
        timers=[TimerChange(key=b"k", name="u", at_ns=3)],
        fired=[Fired(key=b"a", name="t", at_ns=5)],
        outputs=[out(3)],
        shipped_upto=2,
        counts={"late": 1},
    )


FAILURE = Failure(error="ValueError: no", became="skipped", topic="sales", partition=1, offset=7, at_ns=9)


def later() -> Script:
    """A ledger with what came to be in it later."""
    script = whole()
    script.accepted(shipped_upto=1, failure=FAILURE, redrive=[(OTHER, Offset(4)), (IN, Offset(7))])
    return script


def test_the_ledgers_that_landed_are_still_read():
    """Every field, and what comes after it."""
    read = Ledger(bytes.fromhex(LEDGER_1))
    assert ({"late": 3, "skipped": 1}, 1, BEGIN) == (read.counts, read.shipped_upto, read.begin)
    assert (None, {}) == (read.failure, read.redrive)
    assert Accepted(3) == read.apply(bytes.fromhex(COMMIT_1), Index(4), Term(1))
    assert [Fired(key=b"k", name="u", at_ns=3)] == read.timers.due(TimerClock.EVENT, 9, 9)
    again = Ledger(bytes.fromhex(LEDGER_2))
    assert LEDGER_2 == later().ledger.encode().hex(), "what is written today has a sample"
    assert LEDGER_2 == again.encode().hex()
    assert (FAILURE, {OTHER: 4}) == (again.failure, again.redrive)


def test_the_commits_that_landed_are_still_read():
    """From a log that an earlier version wrote."""
    commit = later().commit(
        **{name: getattr(sample(), name) for name in ("inputs", "outputs")}, shipped_upto=2, failure=FAILURE
    )
    assert COMMIT_2 == encode(commit).hex()
    assert commit == decode(bytes.fromhex(COMMIT_2))
    old = decode(bytes.fromhex(COMMIT_1))
    assert isinstance(old, TaskCommit)
    assert msgspec.structs.replace(sample(), previous=old.previous) == old
    assert BEGIN == decode(encode(BEGIN))


def test_a_redrive_is_known_until_it_is_done():
    """Whatever comes in between, and however often somebody asks for more."""
    script = Script()
    script.accepted(redrive=[(OTHER, Offset(4))])
    script.accepted(inputs=[Read(input=OTHER, begin=0, end=3)])
    assert {OTHER: 4} == Ledger(script.ledger.encode()).redrive
    script.accepted(redrive=[(OTHER, Offset(6))])
    script.accepted(inputs=[Read(input=OTHER, begin=3, end=4)], redrive=[(OTHER, Offset(5))])
    assert {OTHER: 6} == script.ledger.redrive
    script.accepted(inputs=[Read(input=OTHER, begin=4, end=6)])
    assert {} == script.ledger.redrive


def test_topics_that_were_made_again_take_the_place_of_the_old_ones():
    """New partitions from where they begin, known ones where they are; outputs where they ever were, or from 0."""
    new = PartitionId(TopicId(b"n" * 16), 0)
    script = whole()
    sequences = dict(script.ledger.sequences)
    rebind = Rebind(inputs=[(new, Offset(4)), (OTHER, Offset(9))], outputs=[AWAY.topic])
    script.accepted(shipped_upto=1, rebind=rebind)
    ledger = Ledger(script.ledger.encode())
    assert {IN: 7, new: 4, OTHER: 0} == ledger.positions
    assert ledger.begin is not None
    assert ([(new, 4), (OTHER, 0)], [AWAY.topic]) == (ledger.begin.inputs, ledger.begin.outputs)
    assert sequences == ledger.sequences
    script.refused(Rule.SEQUENCE, shipped_upto=1, outputs=[out(0)])
    script.refused(Rule.POSITION, shipped_upto=1, inputs=[Read(input=IN, begin=6, end=8)])
    script.accepted(shipped_upto=1, inputs=[Read(input=new, begin=4, end=5)], outputs=[out(0, destination=AWAY)])


def test_the_last_failure_stays():
    """Commits that tell of none do not take it away."""
    script = Script()
    script.accepted(failure=FAILURE)
    script.accepted()
    assert FAILURE == Ledger(script.ledger.encode()).failure


def test_outputs_are_shipped_as_they_were_sealed():
    """Byte for byte, by the commit's term."""
    sealed = make_batch([Record(value=b"v", timestamp_ns=1)], producer_id=9, producer_epoch=1, base_sequence=3)
    shipped = batches(sample(), ProducerId(9))
    assert [sealed] == shipped
    assert shipped[0].is_intact()


def test_what_another_version_wrote_is_refused():
    """A ledger that skipped it would be another one than its peers'."""
    for data in (b"", b"\x02" + encode(BEGIN)[1:], b"\x01" + msgspec.msgpack.encode(["later", 1])):
        with pytest.raises(RefusedToStart, match="another version"):
            Ledger().apply(data, Index(1), Term(1))
    for data in (b"\x02" + whole().ledger.encode()[1:], b"\x01" + msgspec.msgpack.encode([1])):
        with pytest.raises(RefusedToStart, match="another version"):
            Ledger(data)
