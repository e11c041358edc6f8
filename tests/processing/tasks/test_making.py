"""Commits are what their works came to, and every record is at home where clients would have sent it."""

from typing import Any

import pytest

from cluster.client.routing import partition_of_key
from cluster.errors import ProcessorFailed
from cluster.processing.commit import Begin, Read, TaskCommit, batches, checksum_of, encode
from cluster.processing.ledger import Accepted, Ledger
from cluster.processing.tasks.making import BATCH_RECORDS_MAX, Destination, Making
from cluster.processing.work import EVERY_PARTITION, Batch, Effects, Output, StateChange, Work
from cluster.types import Index, Offset, PartitionId, ProducerId, Term, TopicId
from cluster.wire.records import decode_batch

PURCHASES, ALERTS = TopicId(b"p" * 16), TopicId(b"a" * 16)
MAKING = Making(
    term=Term(7),
    producer=ProducerId(9),
    inputs=[PURCHASES],
    outputs=[Destination("alerts", ALERTS, 4)],
    record_bytes_max=1_000,
    letter_bytes_max=2_000,
)


def begun() -> Ledger:
    """A task that owns one partition."""
    ledger = Ledger()
    begin = Begin(
        app="retail",
        processor="fraud",
        version="1",
        task=0,
        tasks=1,
        producer=ProducerId(9),
        inputs=[(PartitionId(PURCHASES, 0), Offset(5))],
        outputs=[ALERTS],
    )
    assert ledger.take(begin, checksum_of(encode(begin)), Index(1), Term(7)) == Accepted(0)
    return ledger


def batch(begin: int, end: int) -> Batch:
    """Offsets of the one partition."""
    return Batch(
        input=0,
        partition=0,
        payload=b"",
        codec=0,
        uncompressed_size=0,
        record_count=end - begin,
        base_offset=begin,
        begin=begin,
        end=end,
    )


def made(ledger: Ledger, outputs: list[Output], begin: int, *ends: int) -> TaskCommit:
    """The commit of a work with batches that end there, which the ledger accepts."""
    edges = [begin, *ends]
    work = Work(
        task=0,
        n=ledger.n + 1,
        now_ns=1,
        batches=[batch(*pair) for pair in zip(edges, ends, strict=False)],
        fired=[],
        idle=[],
    )
    effects = Effects(state=[], timers=[], outputs=outputs, watermark_ns=3, counts={"late": 2})
    commit = MAKING.commit(ledger, work, effects, shipped_upto=99, counts={"late": 1, "deleted_unread": 4})
    assert ledger.take(commit, checksum_of(encode(commit)), Index(2), Term(7)) == Accepted(commit.n)
    return commit


def output(key: bytes | None, *, partition: int = -1, value: bytes = b"v", error: bytes = b"") -> Output:
    """One record; with an error it is a dead letter."""
    headers = [("rr-source", b"p/0@5"), *([("rr-error", error)] if error else [])]
    return Output(output=0, key=key, value=value, headers=headers, timestamp_ns=8, partition=partition)


def test_one_read_for_each_partition_whatever_the_batches() -> None:
    """From the first one's begin to the last one's end."""
    commit = made(begun(), [], 5, 8, 12)

    assert [Read(input=PartitionId(PURCHASES, 0), begin=Offset(5), end=Offset(12))] == commit.inputs
    assert {"late": 3, "deleted_unread": 4} == commit.counts


def test_records_go_where_clients_would_send_them() -> None:
    """By key; without one to one partition together; or where they were told to."""
    keys = [b"a", b"b", b"c", b"d", b"e"]
    outputs = [*map(output, keys), output(None), output(None), output(None, partition=EVERY_PARTITION)]
    commit = made(begun(), outputs, 5, 6)
    found: dict[int, list[bytes | None]] = {n: [] for n in range(4)}
    for sealed, stored in zip(commit.outputs, batches(commit, ProducerId(9)), strict=True):
        found[sealed.destination.number] += [record.key for record in decode_batch(stored, Offset(0))]

    for key in keys:
        assert key in found[partition_of_key(key, 4)]
    assert [1, 1, 1, 3] == sorted(keys.count(None) for keys in found.values())


def test_sequences_count_records_and_go_on() -> None:
    """From commit to commit, dense, for each destination alone."""
    ledger = begun()
    first = made(ledger, [output(b"k")] * (BATCH_RECORDS_MAX + 3), 5, 6)
    second = made(ledger, [output(b"k")], 6, 7)

    assert [0, BATCH_RECORDS_MAX] == [sealed.base_sequence for sealed in first.outputs]
    assert [BATCH_RECORDS_MAX + 3] == [sealed.base_sequence for sealed in second.outputs]
    assert 0 == first.shipped_upto
    assert 1 == second.shipped_upto


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [
        (Output(output=1, key=b"k", value=b"v", headers=[], timestamp_ns=0), "topic number 1"),
        (Output(output=-1, key=b"k", value=b"v", headers=[], timestamp_ns=0), "topic number -1"),
        (Output(output=0, key=b"k", value=b"v", headers=[], timestamp_ns=0, partition=4), "partition 4 of 'alerts'"),
        (Output(output=0, key=b"k", value=b"v", headers=[], timestamp_ns=0, partition=-3), "partition -3 of 'alerts'"),
        (Output(output=0, key=b"k", value=b"v", headers=[], timestamp_ns=2**63), "'alerts' is of 9223372036854775808"),
    ],
)
def test_effects_that_make_no_sense_stop_the_task_and_not_the_node(nonsense: Output, says: str) -> None:
    """User code can do what it likes in its process."""
    with pytest.raises(ProcessorFailed, match=says):
        made(begun(), [nonsense], 5, 6)


@pytest.mark.parametrize(
    ("nonsense", "says"),
    [
        ({"counts": {"late": 2**64 - 1}}, "counts 18446744073709551615 times 'late'"),
        ({"counts": {"late": -1}}, "counts -1 times 'late'"),
        ({"watermark_ns": 2**63}, "has read up to 9223372036854775808 ns"),
        ({"state": [StateChange(store="", key=b"k", value=b"v")]}, "keeps state in ''"),
        ({"state": [StateChange(store="a\0b", key=b"k", value=b"v")]}, "keeps state in 'a.x00b'"),
    ],
)
def test_effects_that_no_ledger_or_store_could_keep_are_refused(nonsense: dict[str, Any], says: str) -> None:
    """What is committed is applied by every replica: a sum beyond 64 bits, or a name, would end all of their nodes."""
    plain: dict[str, Any] = {"state": [], "timers": [], "outputs": [], "watermark_ns": 3, "counts": {}}
    work = Work(task=0, n=1, now_ns=1, batches=[batch(5, 6)], fired=[], idle=[])
    with pytest.raises(ProcessorFailed, match=says):
        MAKING.commit(begun(), work, Effects(**plain | nonsense), shipped_upto=0, counts={})


def test_a_record_that_no_topic_takes_is_said_before_it_is_committed() -> None:
    """Shipping could never be rid of it."""
    with pytest.raises(ProcessorFailed, match=r"'alerts' takes 1\d{3} bytes; at most 1000 .* comes of p/0@5"):
        made(begun(), [output(b"k", value=bytes(1_000))], 5, 6)


def test_what_processing_adds_does_not_make_a_record_too_large() -> None:
    """A record that its own topic took fits into a re-keyed one, and into the dead letters, too."""
    letter = output(b"k", value=bytes(1_999), error=bytes(5_000))
    commit = made(begun(), [output(b"k", value=bytes(999)), letter], 5, 6)
    assert 2 == sum(sealed.record_count for sealed in commit.outputs)
    with pytest.raises(ProcessorFailed, match="at most 2000 are allowed"):
        made(begun(), [output(b"k", value=bytes(2_000), error=b"e")], 5, 6)
