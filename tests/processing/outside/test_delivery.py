"""A sink's works: what the destination has is passed over, what it refuses is put aside, what it holds is held."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from cluster.connectors.contract import Delivery, Guarantee, Position
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from cluster.processing.outside.background import Background
from cluster.processing.policies import dead_letter
from tests.processing.outside.stages import ToldSink, ToldSinkOptions, delivery, nothing, until, work

LANE = "told/in/0"


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


def spans(sink: ToldSink) -> list[tuple[int, int]]:
    """The positions that were written."""
    return [(position.begin, position.end) for _, position in sink.batches]


def test_records_are_written_with_their_position_and_a_name_for_ever(background: Background) -> None:
    """JSON is decoded where the topic's events have no type."""
    sink = ToldSink()
    ids: list[str] = []

    def note(batch: Sequence[Delivery], _: Position) -> bool:
        ids.extend(each.id for each in batch)
        return True

    sink.answer = note
    runner, _ = delivery(ToldSinkOptions(sink=sink), background)
    effects = runner.run(work(1, b'{"a": 1}', b"2", begin=5))
    assert ([{"a": 1}, 2], Position(lane=LANE, begin=5, end=7)) == sink.batches[0]
    assert [f"{LANE}@5", f"{LANE}@6"] == ids
    assert not effects.held
    runner.close()


def test_what_the_destination_has_already_is_passed_over(background: Background) -> None:
    """It is ahead of what is committed: somebody died between the two."""
    sink = ToldSink()
    sink.positions[LANE] = 6
    runner, _ = delivery(ToldSinkOptions(sink=sink), background)
    runner.run(work(1, b"1", b"2", b"3", begin=5))
    runner.run(work(2, b"4", begin=8))
    assert [([2, 3], (6, 8)), ([4], (8, 9))] == [(values, (p.begin, p.end)) for values, p in sink.batches]
    runner.close()


def test_a_destination_that_was_set_back_stops_the_sink(background: Background) -> None:
    """It lacks what was committed here."""
    sink = ToldSink()
    sink.positions[LANE] = 3
    runner, _ = delivery(ToldSinkOptions(sink=sink), background)
    with pytest.raises(InvalidRoute, match="it was set back"):
        runner.run(work(1, b"1", begin=5))
    runner.close()


def test_a_refused_record_is_put_aside_and_the_position_goes_on_without_a_gap(background: Background) -> None:
    """Also when it was the last: the destination's position follows to the end of the work."""
    sink = ToldSink()

    def refuse(batch: Sequence[Delivery], _: Position) -> bool:
        for place, each in enumerate(batch):
            if each.value == 0:
                raise RecordRefused("no zeros", place=place)
        return True

    sink.answer = refuse
    runner, _ = delivery(ToldSinkOptions(sink=sink), background, dead_letter(retries=0))
    effects = runner.run(work(1, b"1", b"0", b"2", b"0"))
    assert [([1], (0, 1)), ([2], (1, 3)), ([], (3, 4))] == [(v, (p.begin, p.end)) for v, p in sink.batches]
    assert [b"0", b"0"] == [output.value for output in effects.outputs]
    assert {"dead_lettered": 2} == effects.counts
    runner.close()


def test_each_partition_has_its_own_position_when_a_sink_catches_up(background: Background) -> None:
    """Its records come by their times, and a write is of one lane for all that."""
    sink = ToldSink()
    sink.positions["told/in/1"] = 21
    runner, _ = delivery(ToldSinkOptions(sink=sink), background)
    batches = [
        *work(1, b"1", b"2", begin=5).batches,
        *work(1, b"3", b"4", b"5", begin=20, partition=1).batches,
        *work(1, b"6", begin=7).batches,
    ]
    runner.run(msgspec.structs.replace(nothing(), batches=batches, in_time_order=True))

    assert [([1, 2, 6], (LANE, 5, 8)), ([4, 5], ("told/in/1", 21, 23))] == [
        (
            [value for values, position in sink.batches if position.lane == lane for value in values],
            (
                lane,
                min(position.begin for _, position in sink.batches if position.lane == lane),
                max(position.end for _, position in sink.batches if position.lane == lane),
            ),
        )
        for lane in (LANE, "told/in/1")
    ]
    runner.close()


def test_a_destination_that_is_away_is_no_fault_of_a_record(background: Background) -> None:
    """Nor is one whose connector fails: no dead letter comes of either."""
    sink = ToldSink()

    def away(_: Sequence[Delivery], __: Position) -> bool:
        raise Unreachable("it is away")

    sink.answer = away
    runner, _ = delivery(ToldSinkOptions(sink=sink), background, dead_letter())
    with pytest.raises(Unreachable, match="it is away"):
        runner.run(work(1, b"1"))

    def broken(_: Sequence[Delivery], __: Position) -> bool:
        raise KeyError("what?")

    sink.answer = broken
    with pytest.raises(InvalidRoute, match="out: its connector failed: KeyError: 'what"):
        runner.run(work(1, b"1"))
    runner.close()


def test_a_write_is_never_larger_than_the_destination_wants(background: Background) -> None:
    """A work of seven, three at a time."""
    sink = ToldSink()
    runner, _ = delivery(ToldSinkOptions(sink=sink, batch_records_max=3), background)
    runner.run(work(1, *[b"1"] * 7))
    assert [(0, 3), (3, 6), (6, 7)] == spans(sink)
    runner.close()


def test_held_works_are_let_go_when_their_piece_is_there(background: Background) -> None:
    """The third write ends a piece; all lanes are settled then, for a commit is for all of them."""
    sink = ToldSink()
    sink.answer = lambda _, position: position.end >= 3 and position.lane == LANE
    runner, _ = delivery(ToldSinkOptions(sink=sink, hold_s=60.0), background)
    assert runner.run(work(1, b"1", b"2")).held
    assert runner.run(work(1, b"1", partition=1)).held
    assert 0 == sink.settled
    assert not runner.run(work(1, b"3", begin=2)).held
    assert 1 == sink.settled
    runner.close()


def test_what_is_held_for_too_long_is_put_there_though_nothing_more_comes(background: Background) -> None:
    """The runner says that it wants a work, and that one settles."""
    sink = ToldSink()
    sink.answer = lambda _, __: False
    runner, said = delivery(ToldSinkOptions(sink=sink, hold_s=0.01), background)
    assert runner.run(work(1, b"1")).held
    until(lambda: bool(said))
    assert runner.word().ready
    assert not runner.run(nothing()).held
    assert 1 == sink.settled
    assert not runner.word().ready
    runner.close()


def test_who_keeps_no_position_is_not_bothered_with_empty_batches(background: Background) -> None:
    """At least once: from where it was committed."""
    sink = ToldSink()
    runner, _ = delivery(
        ToldSinkOptions(sink=sink, guarantee=Guarantee.AT_LEAST_ONCE), background, dead_letter(retries=0)
    )
    runner.run(work(1, b"rubbish", b"1", b"rubbish", begin=7))
    assert [(7, 9)] == spans(sink)
    runner.close()


def test_a_key_with_an_empty_value_is_deleted(background: Background) -> None:
    """A tombstone comes as None; without a key nobody knows what to delete, and it is no record."""
    sink = ToldSink()
    runner, _ = delivery(ToldSinkOptions(sink=sink), background, dead_letter(retries=0))
    runner.run(work(1, b"1", b"", b"2"))
    assert [[1, None, 2]] == [values for values, _ in sink.batches]
    effects = runner.run(work(2, b"3", b"", begin=3, key=None))
    assert [[1, None, 2], [3], []] == [values for values, _ in sink.batches]
    assert 1 == effects.counts["dead_lettered"]
    runner.close()
