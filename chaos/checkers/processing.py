"""Exactly once, from what was sent and what came of it: each input counted once, in its topic's order, and added up.

Events:
- `send`: as of a log, to the input topic; `value` is the record as JSON: {id, key, group, amount};
- `read` by the process `final`: each partition of the input topic, to its end, with `times_ns`, the event time of each
  record. It is the truth: what stands there was sent, acknowledged or not, and has to be counted; it is judged as any
  log;
- `output` {topic, partition, records: [[offset, key, value]…]}: an output topic, when all tasks had caught up; `topic`
  is `counts` and `groups` ({id, key, count, total}), `windows` ({key, start_s, ids, total}), `late` (inputs as they
  were).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.log import check_log
from chaos.checkers.operations import sends_and_reads
from chaos.history import Event, Kind

FINAL = "final"
NS_PER_S = 1_000_000_000
NEVER_S = float("inf")
IDLE_S_MIN = 1.0
"""Of the five seconds in which nothing comes before a partition counts as idle, its leader has said for two at least
that there is nothing more: half as long by a clock that runs twice as fast."""


@dataclass(frozen=True, slots=True)
class _Input:
    """An amount, and where it stands."""

    id: str
    key: str
    group: str
    amount: int
    at_ns: int
    partition: int
    offset: int


def check_processing(events: Iterable[Event], *, window_s: int) -> list[Anomaly]:
    """Everything that is wrong. `window_s`: the length of a window."""
    events = list(events)
    times = {
        (event.value["partition"], record[0]): time_ns
        for event in events
        if event.name == "read" and event.process == FINAL and event.kind is Kind.OK
        for record, time_ns in zip(event.value["records"], event.value["times_ns"], strict=True)
    }
    inputs = {
        told["id"]: _Input(**told, at_ns=times[partition, offset], partition=partition, offset=offset)
        for partition, offset, told in _records(events, "read", "")
    }
    found = check_log(events, final=FINAL)
    for topic, kept_in_order in (("counts", True), ("groups", False)):
        outputs = list(_records(events, "output", topic))
        found += [*_once(topic, inputs, [told["id"] for _, _, told in outputs])]
        found += _running(topic, inputs, outputs, by_topic_order=kept_in_order)
    windows = [told for _, _, told in _records(events, "output", "windows")]
    late = [told for _, _, told in _records(events, "output", "late")]
    return [*found, *_windows(inputs, windows, late, window_s), *_not_late(events, inputs, late, window_s)]


def _records(events: Sequence[Event], name: str, topic: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Of what was read at the end: partition, offset, and what the record says."""
    for event in events:
        value = event.value
        if event.name == name and event.process == FINAL and event.kind is Kind.OK and value.get("topic", "") == topic:
            for offset, _, text in value["records"]:
                yield value["partition"], offset, json.loads(text)


def _once(what: str, inputs: Mapping[str, _Input], counted: Sequence[str]) -> Iterator[Anomaly]:
    times = Counter(counted)
    lost = [one for one in inputs.values() if one.id not in times]
    if lost:
        first = min(lost, key=lambda one: (one.partition, one.offset))
        place = f"{first.id} at {first.partition}@{first.offset}"
        yield Anomaly("lost event", f"{what}: {len(lost)} of {len(inputs)} were not counted, such as {place}")
    for one, count in times.items():
        if one not in inputs:
            yield Anomaly("phantom event", f"{what}: {one} was counted, and is not in the input topic")
        elif count > 1:
            yield Anomaly("counted twice", f"{what}: {one} was counted {count} times")


def _running(
    what: str,
    inputs: Mapping[str, _Input],
    outputs: Sequence[tuple[int, int, Mapping[str, Any]]],
    *,
    by_topic_order: bool,
) -> Iterator[Anomaly]:
    """Of each key: counts 1 … n in the order of the output, inputs in the order of their partition, totals added up.

    `by_topic_order`: the key is the input's, so that all of its inputs are in one partition, in one order.
    """
    by_key: dict[str, list[tuple[int, int, Mapping[str, Any]]]] = defaultdict(list)
    for output in outputs:
        by_key[output[2]["key"]].append(output)
    for key, told in sorted(by_key.items()):
        if len({partition for partition, _, _ in told}) > 1:
            yield Anomaly("key in two partitions", f"{what}: the results of {key}")
        results = [one for _, _, one in sorted(told, key=lambda output: output[:2])]
        yield from _counts(what, key, results)
        yield from _totals(what, key, inputs, results)
        yield from _order(what, key, inputs, results)
        for one in results:
            mine = inputs.get(one["id"])
            if mine is not None and key != (mine.key if by_topic_order else mine.group):
                yield Anomaly("wrong key", f"{what}: {one['id']} was counted for {key}")


def _counts(what: str, key: str, results: Sequence[Mapping[str, Any]]) -> Iterator[Anomaly]:
    counts = [one["count"] for one in results]
    for place, count in enumerate(counts, 1):
        if count != place:
            name = "out of order" if sorted(counts) == list(range(1, len(counts) + 1)) else "wrong count"
            yield Anomaly(name, f"{what}: result {place} of {key} says that it is number {count}")
            return


def _totals(
    what: str, key: str, inputs: Mapping[str, _Input], results: Sequence[Mapping[str, Any]]
) -> Iterator[Anomaly]:
    total = 0
    for one in results:
        mine = inputs.get(one["id"])
        total = total + mine.amount if mine is not None else one["total"]
        if one["total"] != total:
            yield Anomaly("wrong total", f"{what}: {key} came to {total} with {one['id']}, told is {one['total']}")
            return


def _order(
    what: str, key: str, inputs: Mapping[str, _Input], results: Sequence[Mapping[str, Any]]
) -> Iterator[Anomaly]:
    last: dict[int, _Input] = {}
    for one in results:
        mine = inputs.get(one["id"])
        if mine is None:
            continue
        before = last.get(mine.partition)
        if before is not None and before.offset > mine.offset:
            yield Anomaly("out of order", f"{what}: of {key} {mine.id} was counted after {before.id}")
            return
        last[mine.partition] = mine


def _windows(
    inputs: Mapping[str, _Input],
    windows: Sequence[Mapping[str, Any]],
    late: Sequence[Mapping[str, Any]],
    window_s: int,
) -> Iterator[Anomaly]:
    """Each input is in its window, once, or was put aside as late."""
    in_windows = Counter(one for window in windows for one in window["ids"])
    put_aside = Counter(told["id"] for told in late)
    for one in inputs:
        times = in_windows[one] + put_aside[one]
        if not times:
            yield Anomaly("window lost", f"{one} is in no window, and was not late")
        elif times > 1:
            where = f"{in_windows[one]} times in windows, {put_aside[one]} times late"
            yield Anomaly("window counted twice", f"{one} is {where}")
    for one in {*in_windows, *put_aside} - set(inputs):
        yield Anomaly("phantom event", f"windows: {one} is not in the input topic")
    starts = Counter((window["key"], window["start_s"]) for window in windows)
    for (key, start_s), times in starts.items():
        if times > 1:
            yield Anomaly("window closed twice", f"{key} from {start_s}: {times} times")
    for window in windows:
        mine = [inputs[one] for one in window["ids"] if one in inputs]
        begin_ns = window["start_s"] * NS_PER_S
        end_ns = begin_ns + window_s * NS_PER_S
        strange = [one.id for one in mine if one.key != window["key"] or not begin_ns <= one.at_ns < end_ns]
        if strange:
            yield Anomaly("wrong window", f"{strange[0]} is in that of {window['key']} from {window['start_s']}")
        elif window["total"] != sum(one.amount for one in mine):
            yield Anomaly("wrong total", f"the window of {window['key']} from {window['start_s']}: {window['total']}")


def _not_late(
    events: Iterable[Event], inputs: Mapping[str, _Input], late: Sequence[Mapping[str, Any]], window_s: int
) -> Iterator[Anomaly]:
    """Put aside, though the watermark cannot have come to its window's end.

    Each task of the windows reads one partition, without disorder. So an earlier input was of that time or later, or
    the partition was idle before, and time went on without it: then nothing was appended for a while. That may be so
    where it is long from the last call that sent one of those before to the first acknowledgement of one behind.
    """
    calls = {json.loads(send.value)["id"]: send for send in sends_and_reads(events)[0]}
    put_aside = {told["id"] for told in late}
    by_partition: dict[int, list[_Input]] = defaultdict(list)
    for one in sorted(inputs.values(), key=lambda one: one.offset):
        if one.id in calls:
            by_partition[one.partition].append(one)
    for mine in by_partition.values():
        called_s = accumulate((calls[one.id].invoked_s for one in mine), max)
        ended_s = (calls[one.id].ended_s if calls[one.id].kind is Kind.OK else NEVER_S for one in reversed(mine))
        there_s = list(accumulate(ended_s, min))[::-1]
        latest_ns, before_s = 0, NEVER_S  # nothing that was idle from the beginning has a time
        for one, there, called in zip(mine, there_s, called_s, strict=True):
            if there - before_s >= IDLE_S_MIN:
                break
            end_ns = (one.at_ns // (window_s * NS_PER_S) + 1) * window_s * NS_PER_S
            if one.id in put_aside and latest_ns < end_ns:
                said = (
                    f"{one.id} at {one.partition}@{one.offset} was put aside; nothing before it is of its window's end"
                )
                yield Anomaly("not late", said, proof(calls[one.id].operation))
            latest_ns, before_s = max(latest_ns, one.at_ns), called
