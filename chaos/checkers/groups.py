"""A group's deliveries and commits as its members saw them: nothing skipped, nothing given again that was committed.

Events, all of kind `ok` but for commits whose outcome is not known:
- `give` {partition, generation, offset}: a member's application got a record.
- `commit` {partition, generation, position}: everything before the position was processed; a pair of events.
- `end` {partition, first, end}: what there was to process, in the end.
- `stuck` {partition, end}, of kind `info`: the last member did not get there in its time.

A member that was cut off for longer than its grace may go on for a while with what it has (a zombie): its generation is
lower than its successor's. So rules that compare two members compare generations.

Of a compacted topic the sends and reads of the same history say what may be skipped, by the rules of `compaction`: a
record that nobody was given was missing when the first member passed it, which it had at the latest when a member was
given something behind it or committed a position behind it, or at the time of `end`.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.compaction import Compaction, earliest_from
from chaos.checkers.operations import sends_and_reads
from chaos.history import Event, Kind


@dataclass(frozen=True, slots=True)
class _Commit:
    partition: int
    generation: int
    position: int
    process: str
    invoked_s: float
    ended_s: float


def check_group(events: Iterable[Event], *, compacted: bool = False, tombstone_s: float | None = None) -> list[Anomaly]:
    """Everything that is wrong. `compacted` and `tombstone_s` as for `check_log`."""
    events = list(events)
    gives = [event for event in events if event.name == "give"]
    commits = _acknowledged(events)
    skipped = _skipped(events, gives)
    if compacted:
        compaction = Compaction(*sends_and_reads(events), tombstone_s)
        skipped = _unless_compacted(skipped, compaction, _Passes(gives, commits))
    return [
        *_named(skipped),
        *_stuck(events),
        *_disordered(gives),
        *_given_again(gives, commits),
        *_unfenced(commits),
    ]


def redelivered(events: Iterable[Event]) -> int:
    """How many records were given more than once: those whose commit was not acknowledged in time."""
    given: dict[tuple[int, int], int] = defaultdict(int)
    for event in events:
        if event.name == "give":
            given[event.value["partition"], event.value["offset"]] += 1
    return sum(count - 1 for count in given.values())


def _acknowledged(events: Iterable[Event]) -> list[_Commit]:
    begun: dict[int, Event] = {}
    found = []
    for event in events:
        if event.name == "commit" and event.kind is Kind.INVOKE:
            begun[event.operation] = event
        elif event.name == "commit" and event.kind is Kind.OK:
            value, invoked = event.value, begun[event.operation]
            found.append(
                _Commit(
                    value["partition"],
                    value["generation"],
                    value["position"],
                    event.process,
                    invoked.time_s,
                    event.time_s,
                )
            )
    return found


def _skipped(events: Iterable[Event], gives: list[Event]) -> list[tuple[Event, list[int]]]:
    """Of each partition what is there in the end and was given to nobody."""
    given: dict[int, set[int]] = defaultdict(set)
    for event in gives:
        given[event.value["partition"]].add(event.value["offset"])
    return [
        (event, sorted(set(range(event.value["first"], event.value["end"])) - given[event.value["partition"]]))
        for event in events
        if event.name == "end" and event.kind is Kind.OK
    ]


class _Passes:
    """When a group had passed an offset at the latest."""

    def __init__(self, gives: list[Event], commits: list[_Commit]) -> None:
        passed: dict[int, dict[int, float]] = defaultdict(dict)
        for partition, next_offset, at_s in [
            *((event.value["partition"], event.value["offset"], event.time_s) for event in gives),
            *((commit.partition, commit.position, commit.invoked_s) for commit in commits),
        ]:
            passed[partition][next_offset] = min(at_s, passed[partition].get(next_offset, at_s))
        self._offsets = {partition: sorted(times) for partition, times in passed.items()}
        self._times = {
            partition: earliest_from([passed[partition][offset] for offset in offsets])
            for partition, offsets in self._offsets.items()
        }

    def passed_s(self, partition: int, offset: int, at_the_latest_s: float) -> float:
        """The time at which somebody was certainly behind it."""
        offsets = self._offsets.get(partition, [])
        place = bisect_right(offsets, offset)
        return min(self._times[partition][place], at_the_latest_s) if place < len(offsets) else at_the_latest_s


def _unless_compacted(
    skipped: list[tuple[Event, list[int]]], compaction: Compaction, passes: _Passes
) -> list[tuple[Event, list[int]]]:
    """Without what compaction may have removed."""
    found = []
    for event, offsets in skipped:
        left = []
        for offset in offsets:
            record = compaction.at(event.value["partition"], offset)
            passed_s = passes.passed_s(event.value["partition"], offset, event.time_s)
            if record is not None and not compaction.may_miss(record, passed_s):
                left.append(offset)
        found.append((event, left))
    return found


def _named(skipped: list[tuple[Event, list[int]]]) -> list[Anomaly]:
    return [
        Anomaly("skipped", f"{len(offsets)} of partition {event.value['partition']}, the first is {offsets[0]}")
        for event, offsets in skipped
        if offsets
    ]


def _stuck(events: Iterable[Event]) -> list[Anomaly]:
    """The last member had time enough."""
    return [
        Anomaly("stuck", f"the group did not process partition {event.value['partition']} to {event.value['end']}")
        for event in events
        if event.name == "stuck"
    ]


def _disordered(gives: list[Event]) -> list[Anomaly]:
    """Within one member's hold of a partition offsets rise."""
    last: dict[tuple[str, int, int], int] = {}
    found = []
    for event in gives:
        value = event.value
        hold = event.process, value["partition"], value["generation"]
        if last.get(hold, -1) >= value["offset"]:
            found.append(
                Anomaly("disordered", f"{event.process} got {value['partition']}@{value['offset']} after {last[hold]}")
            )
        last[hold] = value["offset"]
    return found


def _given_again(gives: list[Event], commits: list[_Commit]) -> list[Anomaly]:
    """What is below an acknowledged position is not given in that generation or a later one."""
    by_partition: dict[int, list[_Commit]] = defaultdict(list)
    for commit in commits:
        by_partition[commit.partition].append(commit)
    found = []
    for event in gives:
        value = event.value
        for commit in by_partition[value["partition"]]:
            newer = value["generation"] >= commit.generation
            if newer and commit.ended_s < event.time_s and value["offset"] < commit.position:
                found.append(
                    Anomaly(
                        "given again",
                        f"{event.process} got {value['partition']}@{value['offset']} in generation "
                        f"{value['generation']} after {commit.process} had committed {commit.position}",
                    )
                )
                break
    return found


def _unfenced(commits: list[_Commit]) -> list[Anomaly]:
    """Once a generation has committed, no lower one does."""
    found = []
    for commit in commits:
        for other in commits:
            if (
                other.partition == commit.partition
                and other.generation > commit.generation
                and other.ended_s < commit.invoked_s
            ):
                found.append(
                    Anomaly(
                        "not fenced",
                        f"{commit.process} committed {commit.partition} in generation {commit.generation} after "
                        f"{other.process} had in {other.generation}",
                    )
                )
                break
    return found
