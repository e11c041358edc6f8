"""An input that was deleted and made again: its records are others, whatever of the old one is at the destination."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.connectors.sqlite.options import SqliteSink
from cluster.metadata import Topic
from cluster.processing.app import App
from cluster.processing.commit import Begin, encode
from cluster.processing.ledger import Ledger
from cluster.processing.outside.background import Background
from cluster.processing.tasks.feed import Source
from cluster.processing.tasks.plan import Plan
from cluster.processing.tasks.rebinding import new_sources, rebinding
from cluster.types import Index, Offset, PartitionId, ProducerId, Term, TopicId
from tests.processing.outside.stages import delivery, keep, work

OLD, NEW, NEWER = (TopicId(letter * 16) for letter in (b"o", b"n", b"m"))
State = dict[tuple[str, bytes], bytes]


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


def plan(options: SqliteSink, topic: TopicId) -> Plan:
    """Of the only task, whose input is that topic by now."""
    app = App("told")
    spec = app.sink(app.topic("in"), options, name="out").stages[0].spec
    found = Topic(name="in", id=topic, partitions=(), replicas=1)
    source = Source(0, spec.inputs[0], found, PartitionId(topic, 0), None)
    nobody = cast("Any", None)
    return Plan(
        app=nobody,
        stage=nobody,
        spec=spec,
        task=0,
        partitions=1,
        inputs=[],
        outputs=[],
        sources=[source],
        parked=[],
    )


def ledger() -> Ledger:
    """Of a task that began with the old topic."""
    begun = Ledger()
    begin = Begin(
        app="told",
        processor="out",
        version="1",
        task=0,
        tasks=1,
        producer=ProducerId(9),
        inputs=[(PartitionId(OLD, 0), Offset(0))],
        outputs=[],
    )
    begun.apply(encode(begin), Index(1), Term(1))
    return begun


def take_up(state: State, options: SqliteSink, topic: TopicId) -> None:
    """It is resumed: the commit that takes up the topic that there is now."""
    now, begun = plan(options, topic), ledger()
    firsts = {source.partition: Offset(0) for source in new_sources(now, begun)}
    keep(state, rebinding(now, begun, firsts, term=Term(1)))


def deliver(state: State, options: SqliteSink, background: Background, count: int, begin: int = 0) -> int:
    """How many rows there are after so many more records."""
    with closing(delivery(options, background, state=state)[0]) as runner:
        keep(state, runner.run(work(1, *[b'{"n": 1}'] * count, begin=begin)))
    with closing(sqlite3.connect(options.path)) as database:
        return int(database.execute("SELECT count(*) FROM told").fetchone()[0])


def test_records_of_a_topic_that_was_made_again_are_delivered(tmp_path: Path, background: Background) -> None:
    """Each time; and who goes on with one of them passes over what is there of that one."""
    state: State = {}
    options = SqliteSink(path=str(tmp_path / "db"), table="told", mode="append")
    assert 10 == deliver(state, options, background, 10)
    take_up(state, options, NEW)
    assert 15 == deliver(state, options, background, 5)
    assert 15 == deliver(state, options, background, 5)
    assert 17 == deliver(state, options, background, 2, begin=5)
    take_up(state, options, NEWER)
    assert 20 == deliver(state, options, background, 3)


def test_a_topic_that_is_what_it_was_keeps_its_name_at_the_destination(tmp_path: Path, background: Background) -> None:
    """Else what is there would be delivered again."""
    state: State = {}
    options = SqliteSink(path=str(tmp_path / "db"), table="told", mode="append")
    assert 10 == deliver(state, options, background, 10)
    take_up(state, options, OLD)
    assert 10 == deliver(state, options, background, 5)
    assert 11 == deliver(state, options, background, 1, begin=10)
