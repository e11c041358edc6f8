"""Quix Streams, without its Kafka loop. See `peers.py`.

Its application cannot run without a broker. So each record is put through what it composes of a StreamingDataFrame, in
a message context of its own and with its offset stored, as the application does; state is its RocksDB store, in its own
checkpoints, one every 10,000 records (the application makes one every 5 s), without a changelog topic.
"""

import tempfile
import time
from collections.abc import Callable
from typing import Any

from quixstreams.context import copy_context, set_message_context
from quixstreams.dataframe import DataFrameRegistry, StreamingDataFrame
from quixstreams.models import MessageContext, Topic, TopicConfig
from quixstreams.processing import ProcessingContext
from quixstreams.sinks import SinkManager
from quixstreams.state import StateStoreManager

from tests.bench.peers import Purchase, Records, dear, dear_count, measure

CHECKPOINT = 10_000


class NoBroker:
    """What a checkpoint would tell a broker."""

    offsets: dict[Any, Any] = {}  # noqa: RUF012  it stays empty

    def flush(self) -> int:
        """Nothing is under way."""
        return 0

    def commit(self, **_: Any) -> list[Any]:
        """Nobody is told."""
        return []


class NoTopics:
    """Without a broker, there is no topic for the changes of a state."""

    def derive_topic_config(self, _: Any) -> None:
        """None is needed."""


def run(records: Records, define: Callable[[Any], Any]) -> tuple[float, list[Any]]:
    """CPU seconds, and what came out."""
    topic, registry, out = Topic("purchases"), DataFrameRegistry(), []
    topic.broker_config = TopicConfig(num_partitions=1, replication_factor=1)
    keys = [record["customer_id"].encode() for record in records]
    with tempfile.TemporaryDirectory() as directory:
        states = StateStoreManager(group_id="bench", state_dir=directory)
        states.init()
        context = ProcessingContext(
            commit_interval=3600.0,
            producer=NoBroker(),
            consumer=NoBroker(),
            state_manager=states,
            sink_manager=SinkManager(),
            dataframe_registry=registry,
        )
        frame = StreamingDataFrame(
            topic, topic_manager=NoTopics(), registry=registry, processing_context=context, stream_id=topic.name
        )
        registry.register_root(frame)
        frame = define(frame)
        composed = registry.compose_all(sink=lambda value, *_: out.append(value))[topic.name]
        states.on_partition_assign(stream_id=frame.stream_id, partition=0, committed_offsets={})
        context.init_checkpoint()
        begin_s = time.process_time()
        for offset, (record, key) in enumerate(zip(records, keys, strict=True)):
            message = copy_context()
            message.run(set_message_context, MessageContext(topic.name, 0, offset, 0))
            message.run(composed, record, key, 0, [])
            context.store_offset(topic.name, 0, offset)
            if offset % CHECKPOINT == CHECKPOINT - 1:
                context.commit_checkpoint(force=True)
        context.commit_checkpoint(force=True)
        spent_s = time.process_time() - begin_s
        states.on_partition_revoke(stream_id=frame.stream_id, partition=0)
    return spent_s, out


def filter_map(records: Records) -> float:
    """CPU seconds."""
    spent_s, out = run(records, lambda frame: frame.apply(dear).filter(lambda total: total is not None))
    assert len(out) == dear_count(records)
    return spent_s


def count(records: Records) -> float:
    """CPU seconds."""
    seen: dict[str, int] = {}

    def add(purchase: Purchase, state: Any) -> None:
        total = seen[purchase["customer_id"]] = state.get("seen", 0) + 1
        state.set("seen", total)

    spent_s, _ = run(records, lambda frame: frame.apply(add, stateful=True))
    assert sum(seen.values()) == len(records)
    return spent_s


if __name__ == "__main__":
    measure("Quix Streams", {"filter-map": filter_map, "keyed count": count})
