"""A destination that lost all that it had stops its sink, for nobody else would say what is missing there."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.connectors.contract import Guarantee
from cluster.connectors.sqlite.options import SqliteSink
from cluster.errors import InvalidRoute
from cluster.processing.outside.background import Background
from tests.processing.outside.stages import ToldSink, ToldSinkOptions, delivery, keep, work

State = dict[tuple[str, bytes], bytes]


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


def test_a_database_that_was_deleted_stops_the_sink(tmp_path: Path, background: Background) -> None:
    """Its positions are in it; a first start in the middle of a topic is none of that."""
    state: State = {}
    options = SqliteSink(path=str(tmp_path / "db"), table="told")
    with closing(delivery(options, background, state=state)[0]) as runner:
        keep(state, runner.run(work(1, b'{"n": 1}', b'{"n": 2}', begin=5)))
    with closing(delivery(options, background, state=state)[0]) as runner:
        keep(state, runner.run(work(2, b'{"n": 3}', begin=7)))
    (tmp_path / "db").unlink()
    with (
        closing(delivery(options, background, state=state)[0]) as runner,
        pytest.raises(InvalidRoute, match=r"knows nothing of told/in/0 any more, and it had .* up to offset 8"),
    ):
        runner.run(work(3, b'{"n": 4}', begin=8))


@pytest.mark.parametrize("guarantee", [Guarantee.ONCE_BY_KEY, Guarantee.AT_LEAST_ONCE])
def test_who_may_forget_positions_or_keeps_none_goes_on(background: Background, guarantee: Guarantee) -> None:
    """That none is there says nothing then."""
    state: State = {}
    sink = ToldSink()
    options = ToldSinkOptions(sink=sink, guarantee=guarantee)
    for number in (1, 2):
        with closing(delivery(options, background, state=state)[0]) as runner:
            keep(state, runner.run(work(number, b"1", begin=number)))
    assert 2 == len(sink.batches)


def test_a_lane_is_begun_in_the_commit_of_its_first_work(background: Background) -> None:
    """One that came to nothing begins none, though the destination has had a part of it."""
    state: State = {}
    sink = ToldSink()
    with closing(delivery(ToldSinkOptions(sink=sink), background, state=state)[0]) as runner:
        runner.run(work(1, b"1", begin=5))
    with closing(delivery(ToldSinkOptions(sink=sink), background, state=state)[0]) as runner:
        keep(state, runner.run(work(1, b"1", begin=5)))
    with (
        closing(delivery(ToldSinkOptions(sink=sink), background, state=state)[0]) as runner,
        pytest.raises(InvalidRoute, match="knows nothing of told/in/0"),
    ):
        runner.run(work(2, b"2", begin=6))
