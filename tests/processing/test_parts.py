"""Records of several partitions in the order of their times."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.processing.draft import Part
from cluster.processing.event import Event
from cluster.processing.parts import Broken, Readings, Run, Told, _in_time_order
from cluster.processing.spec import InputSpec
from cluster.processing.watermarks import NO_WRITER, Lane, Said, TimeState, Watermarks
from cluster.processing.work import Batch, Condemned
from cluster.records import Header, Record
from cluster.types import Offset
from cluster.wire.columns import decode_columns
from cluster.wire.records import encode_records, make_batch

TOLD = None
LANES = st.lists(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5) | st.just(TOLD), max_size=4), max_size=4)


def _lane(number: int, items: list[list[int] | None]) -> list[Run | Told]:
    lane: list[Run | Told] = []
    for item in items:
        if item is None:
            lane.append(Told((number, len(lane)), Said(task=0, tasks=1, watermark_ns=0, idle=False)))
        else:
            batch = make_batch([Record(value=b"", timestamp_ns=time_ns) for time_ns in (99, *item)])
            part = Part(number, InputSpec(topic="t"), len(lane), decode_columns(batch, Offset(0)))
            lane.append(Run(part, 1, 1 + len(item)))
    return lane


@given(LANES)
def test_records_come_by_their_times_and_in_their_partitions_order(lanes: list[list[list[int] | None]]) -> None:
    """As a sort of all of them says, by the latest time of what their partition had until then."""
    expected = []
    for number, items in enumerate(lanes):
        at = -1
        for place, item in enumerate(items):
            for step, time_ns in enumerate([at] if item is None else item):
                at = max(at, time_ns)
                expected.append((at, number, place, -1 if item is None else step + 1))
    expected.sort(key=lambda record: record[:2])

    found: list[tuple[int, int, int]] = []
    runs = [*_in_time_order([_lane(number, items) for number, items in enumerate(lanes)])]
    for item in runs:
        if isinstance(item, Told):
            found.append((*item.place, -1))
        else:
            found += [(item.part.input, item.part.partition, place) for place in range(item.first, item.end)]
    assert [record[1:] for record in expected] == found


class Step(Event):
    """What a record holds, where it does not fail to decode."""

    number: int


def _batch(partition: int, base: int, times: list[int]) -> Batch:
    """Some records are of no use, some have headers; the first offset was processed before."""
    records = [
        Record(
            value=b"?" if time_ns == 7 else msgspec.json.encode(Step(time_ns)),
            key=b"k%d" % time_ns,
            timestamp_ns=time_ns + 1,
            headers=[Header(name="h", value=b"%d" % time_ns)] * (time_ns % 3),
        )
        for time_ns in (99, *times)
    ]
    payload = encode_records(records)
    return Batch(
        input=0,
        partition=partition,
        payload=payload,
        codec=0,
        uncompressed_size=len(payload),
        record_count=len(records),
        base_offset=base,
        begin=base + 1,
        end=base + len(records),
    )


@given(st.lists(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=3), max_size=4))
def test_partitions_that_are_mixed_are_what_they_are_one_by_one(lanes: list[list[list[int]]]) -> None:
    """Order, places, origins, headers, what cannot be decoded, and what is condemned."""
    readings = Readings([InputSpec(topic="t", time="number")], [Step])
    batches = [
        _batch(number, 10 * place, times) for number, lane in enumerate(lanes) for place, times in enumerate(lane)
    ]
    condemned = [Condemned(input=0, partition=1, offset=2, why="it died")]
    alone: dict[int, list[Run | Told | Broken]] = {}
    for batch in batches:
        alone.setdefault(batch.partition, []).extend(readings.runs([batch], in_time_order=False, condemned=condemned))
    mixed = [*readings.runs(batches, in_time_order=True, condemned=condemned)]
    seen, latest = [], []
    for runs in ([*_in_time_order([*alone.values()])], mixed):
        seen.append(
            [
                (
                    part.position(place),
                    part.source(place),
                    part.partitions(first, end)[place - first],
                    [(at.partition, at.columns.offsets[there]) for at, there in [part.origin(place)]],
                    part.keys[place],
                    part.events[place],
                    part.times[place],
                    part.columns.values[place],
                    part.columns.times_ns[place],
                    part.columns.offsets[place],
                    part.columns.headers(place),
                    repr(part.poison.get(place)),
                )
                for part, first, end in runs
                for place in range(first, end)
            ]
        )
        latest.append(dict(sorted(pair for run in runs for pair in run.part.latest(*run[1:]))))

    assert seen[0] == seen[1]
    assert len(mixed) <= 1 or len([lane for lane in lanes if any(lane)]) < 2
    assert latest[0] == latest[1]


def test_records_that_are_mixed_are_given_again_as_they_were() -> None:
    """Those that are asked for, and which decode."""
    readings = Readings([InputSpec(topic="t")], [Step])
    batches = [_batch(number, 0, times) for number, times in enumerate(([1, 5, 8], [3, 7, 9]))]
    ((part, _, end),) = readings.runs(batches, in_time_order=True)
    for place in set(range(end)) - part.poison.keys():
        part.events[place].number += 100
    readings.renew(part, 1, 5)

    assert [101, 3, 5, None, 8, 109] == [event and event.number for event in part.events]


@example([(0, 1), (2, 1), (1, 0)], [(1, 0, True)], 0)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=12),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.booleans()), max_size=3),
    st.integers(0, 1),
)
def test_the_watermark_at_each_record_is_what_it_would_be_one_by_one(
    steps: list[tuple[int, int]], known: list[tuple[int, int, bool]], more: int
) -> None:
    """Whatever was heard of its partitions before, and whoever is idle."""
    state = TimeState(lanes={(0, number, NO_WRITER): Lane(time_ns, 0, idle) for number, time_ns, idle in known})
    marks = Watermarks(state, [(0, number) for number in range(3 + more)], ())
    marks.settle()
    found = marks.marks(((0, number, NO_WRITER), time_ns) for number, time_ns in steps)

    expected = []
    for number, time_ns in steps:
        lane = (0, number, NO_WRITER)
        expected.append(max(marks.value_ns, min(marks.least_of_others(lane), marks.lane_time(lane))))
        marks.advance(lane, time_ns)
    assert expected == found


def test_what_need_not_be_cut_is_not() -> None:
    """Each run is a step with a cost of its own."""
    runs = [*_in_time_order([_lane(0, [[1, 2, 3, 3, 7, 8]]), _lane(1, [[3, 4, 5]])])]

    assert [(0, 1, 5), (1, 1, 4), (0, 5, 7)] == [(run.part.input, run.first, run.end) for run in runs]
    assert [(0, 1, 3)] == [(r.part.input, r.first, r.end) for r in _in_time_order([_lane(0, [[9, 1]])])]
