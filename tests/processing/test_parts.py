"""Records of several partitions in the order of their times."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.processing.draft import Part
from cluster.processing.parts import Run, Told, _in_time_order
from cluster.processing.spec import InputSpec
from cluster.processing.watermarks import Said
from cluster.records import Record
from cluster.types import Offset
from cluster.wire.columns import decode_columns
from cluster.wire.records import make_batch

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


def test_what_need_not_be_cut_is_not() -> None:
    """Each run is a step with a cost of its own."""
    runs = [*_in_time_order([_lane(0, [[1, 2, 3, 3, 7, 8]]), _lane(1, [[3, 4, 5]])])]

    assert [(0, 1, 5), (1, 1, 4), (0, 5, 7)] == [(run.part.input, run.first, run.end) for run in runs]
    assert [(0, 1, 3)] == [(r.part.input, r.first, r.end) for r in _in_time_order([_lane(0, [[9, 1]])])]
