"""When a batch is closed, and what it holds."""

import pytest

from cluster.client.accumulator import Accumulator, PartitionBuffer
from cluster.client.outgoing import RECORD_OVERHEAD_BYTES, size_of
from cluster.config import ClientOptions
from cluster.errors import InvalidRequest
from cluster.records import Header, Record
from cluster.types import Codec, Offset
from cluster.wire.records import decode_batch, make_batch

RECORD_BYTES = 100 + RECORD_OVERHEAD_BYTES


class Bench:
    """An accumulator with a hand-turned clock."""

    def __init__(self, codec=Codec.NONE, **options):
        self.accumulator = Accumulator(ClientOptions(**options), codec)
        self.now_s = 0.0
        self.busy = set()

    def add(self, buffer, value=b"v" * 100, key=None, headers=(), timestamp_ns=1):
        """Add one record now."""
        size = size_of(value, key, headers)
        return self.accumulator.add(buffer, value, key, headers, timestamp_ns, size, lambda: self.now_s)

    def close_due(self, now_s):
        """Let it be that late."""
        self.accumulator.close_due(now_s, lambda buffer: buffer in self.busy)


def counts(buffer):
    """How many records the closed batches hold."""
    return [batch.count for batch in buffer.closed]


def test_full_by_count():
    """A batch that reached the count is closed with its last record."""
    bench, buffer = Bench(records_per_batch_max=3), PartitionBuffer("t", 0)
    for _ in range(7):
        bench.add(buffer)
    assert ([3, 3], 1) == (counts(buffer), buffer.open.count)
    assert [buffer] == list(bench.accumulator.ready)


def test_full_by_size():
    """A record that would take the batch over the size opens the next one."""
    bench, buffer = Bench(batch_bytes_max=2 * RECORD_BYTES + 50), PartitionBuffer("t", 0)
    for _ in range(5):
        bench.add(buffer)
    assert ([2, 2], 1) == (counts(buffer), buffer.open.count)


def test_a_large_record_gets_its_own_batch():
    """Larger than a batch is allowed; it travels alone."""
    bench, buffer = Bench(batch_bytes_max=300), PartitionBuffer("t", 0)
    for size in (10, 1000, 10):
        bench.add(buffer, b"v" * size)
    assert ([1, 1], 1) == (counts(buffer), buffer.open.count)


def test_linger():
    """Each batch is closed when its own time is over, oldest first."""
    bench = Bench(linger_s=1.0)
    early, late = PartitionBuffer("t", 0), PartitionBuffer("t", 1)
    bench.add(early)
    bench.now_s = 0.6
    bench.add(late)
    bench.add(early)
    assert bench.accumulator.next_due_s() == 1.0
    bench.close_due(0.99)
    assert ([], []) == (counts(early), counts(late))
    bench.close_due(1.0)
    assert ([2], []) == (counts(early), counts(late))
    assert bench.accumulator.next_due_s() == 1.6
    bench.close_due(5.0)
    assert ([2], [1]) == (counts(early), counts(late))
    assert bench.accumulator.next_due_s() is None


def test_a_busy_partition_lets_its_batch_grow():
    """Its time is over and it waits for the partition; others do not wait for it."""
    bench = Bench(linger_s=1.0)
    busy, other = PartitionBuffer("t", 0), PartitionBuffer("t", 1)
    bench.busy.add(busy)
    bench.add(busy)
    bench.add(other)
    bench.close_due(1.0)
    assert ([], [1]) == (counts(busy), counts(other))
    assert (True, False) == (bench.accumulator.is_overdue(busy), bench.accumulator.is_overdue(other))
    assert bench.accumulator.next_due_s() is None
    bench.add(busy)
    bench.accumulator.close(busy)
    assert ([2], False) == (counts(busy), bench.accumulator.is_overdue(busy))


def test_memory_is_counted_until_the_outcome():
    """Closing frees nothing; settling does."""
    bench, buffer = Bench(), PartitionBuffer("t", 0)
    bench.add(buffer)
    bench.add(buffer)
    bench.accumulator.close_all()
    assert 2 * RECORD_BYTES == bench.accumulator.buffered_bytes
    bench.accumulator.release(buffer.closed.popleft())
    assert bench.accumulator.buffered_bytes == 0


@pytest.mark.parametrize("codec", list(Codec))
def test_what_is_encoded_is_what_was_added(codec):
    """The bytes are those that the wire's own encoder makes of the same records, and they decode to them."""
    bench, buffer = Bench(codec), PartitionBuffer("t", 0)
    bench.add(buffer, b"one" * 50, b"k", {"h": b"1"}, 30)
    bench.add(buffer, b"", None, [Header(name="a", value=b""), Header(name="a", value=b"2")], 10)
    bench.add(buffer, b"three", b"", (), 20)
    bench.accumulator.close(buffer)
    batch = buffer.closed[0].batch
    records = [
        Record(value=b"one" * 50, key=b"k", headers=(Header(name="h", value=b"1"),), timestamp_ns=30),
        Record(value=b"", headers=(Header(name="a", value=b""), Header(name="a", value=b"2")), timestamp_ns=10),
        Record(value=b"three", key=b"", timestamp_ns=20),
    ]
    assert make_batch(records, codec=codec) == batch
    assert (10, 30) == (batch.min_timestamp_ns, batch.max_timestamp_ns)
    assert [record.value for record in records] == [record.value for record in decode_batch(batch, Offset(0))]


@pytest.mark.parametrize(
    "wrong", [{"value": "text" * 30}, {"key": "text"}, {"headers": {"h": "text"}}, {"headers": {1: b"v"}}]
)
def test_a_record_of_wrong_types_leaves_no_trace(wrong):
    """It is refused, and the batch that it would have joined is as before."""
    bench, buffer = Bench(), PartitionBuffer("t", 0)
    bench.add(buffer, b"good")
    before = bench.accumulator.buffered_bytes
    with pytest.raises(InvalidRequest):
        bench.accumulator.add(
            buffer, wrong.get("value", b"v"), wrong.get("key"), wrong.get("headers", ()), 1, 100, lambda: 0.0
        )
    assert (1, before) == (buffer.open.count, bench.accumulator.buffered_bytes)
    bench.accumulator.close(buffer)
    assert [b"good"] == [record.value for record in decode_batch(buffer.closed[0].batch, Offset(0))]


def test_a_batch_whose_only_record_was_refused_disappears():
    """There is nothing to send, and nothing to wait for."""
    bench, buffer = Bench(), PartitionBuffer("t", 0)
    with pytest.raises(InvalidRequest):
        bench.accumulator.add(buffer, "text", None, (), 1, 100, lambda: 0.0)
    bench.close_due(100.0)
    assert ([], None, None) == (counts(buffer), buffer.open, bench.accumulator.next_due_s())
