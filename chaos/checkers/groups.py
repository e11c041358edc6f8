"""A group's deliveries and commits as its members saw them: nothing skipped, nothing given again that was committed.

Events, all of kind `ok` but for commits whose outcome is not known:
- `give` {partition, generation, offset}: a member's application got a record.
- `commit` {partition, generation, position}: everything before the position was processed; a pair of events.
- `position` {partition[, position]}: what the group's position was said to be, if anybody asked; a pair of events.
- `end` {partition, first, end}: what there was to process, in the end.
- `stuck` {partition, end}, of kind `info`: the last member did not get there in its time.

A member that was cut off for longer than its grace may go on for a while with what it has (a zombie): its generation is
lower than its successor's. So rules that compare two members compare generations.

Of a compacted topic the sends and reads of the same history say what may be skipped, by the rules of `compaction`: a
record that nobody was given was missing when the first member passed it, which it had at the latest when a member was
given something behind it or committed a position behind it, or at the time of `end`.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.checkers.anomaly import Anomaly, proof
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
    operation: int


@dataclass(slots=True)
class _Highest:
    """Of what is committed so far the highest position up to each generation."""

    generations: list[int] = field(default_factory=list)
    commits: list[_Commit] = field(default_factory=list)
    """One for each of them, their positions ascending, too."""

    def add(self, commit: _Commit) -> None:
        """One more."""
        before = self.upto(commit.generation)
        if before is not None and before.position >= commit.position:
            return
        start = stop = bisect_left(self.generations, commit.generation)
        while stop < len(self.commits) and self.commits[stop].position <= commit.position:
            stop += 1
        self.generations[start:stop] = [commit.generation]
        self.commits[start:stop] = [commit]

    def upto(self, generation: int) -> _Commit | None:
        """The highest of that generation and of all before it."""
        place = bisect_right(self.generations, generation)
        return self.commits[place - 1] if place else None


class _Committed:
    """What was committed by the time to which one has come."""

    def __init__(self, commits: Iterable[_Commit]) -> None:
        self._later = sorted(commits, key=lambda commit: commit.ended_s, reverse=True)
        self.highest: dict[int, _Highest] = defaultdict(_Highest)

    def advance(self, now_s: float) -> None:
        """Everything that had ended before that; times may only rise."""
        while self._later and self._later[-1].ended_s < now_s:
            commit = self._later.pop()
            self.highest[commit.partition].add(commit)


def check_group(
    events: Iterable[Event], *, compacted: bool = False, tombstone_s: float | None = None, deleted: bool = False
) -> list[Anomaly]:
    """Everything that is wrong. `compacted` and `tombstone_s` as for `check_log`; `deleted`: records may be deleted."""
    events = list(events)
    gives = [event for event in events if event.name == "give"]
    commits = _acknowledged(events)
    skipped = _skipped(events, gives)
    compaction = Compaction(*sends_and_reads(events), tombstone_s) if compacted else None
    if compaction is not None:
        skipped = _unless_compacted(skipped, compaction, _Passes(gives, commits))
    return [
        *_named(skipped),
        *_stuck(events),
        *_disordered(gives, gaps=compacted or deleted),
        *_two_owners(gives),
        *_given_again(gives, commits),
        *_committed_ungiven(gives, commits, compaction, _firsts(events) if deleted else None),
        *_went_back(events, commits),
        *_unfenced(gives, commits),
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
                    event.operation,
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
        Anomaly(
            "stuck",
            f"the group did not process partition {event.value['partition']} to {event.value['end']}",
            proof(event.operation),
        )
        for event in events
        if event.name == "stuck"
    ]


def _disordered(gives: list[Event], *, gaps: bool) -> list[Anomaly]:
    """Within one member's hold of a partition offsets rise, and where there are no gaps, one by one."""
    last: dict[tuple[str, int, int], int] = {}
    found = []
    for event in gives:
        value = event.value
        hold = event.process, value["partition"], value["generation"]
        before = last.get(hold)
        if before is not None and (value["offset"] <= before or (value["offset"] > before + 1 and not gaps)):
            said = f"{event.process} got {value['partition']}@{value['offset']} after {before}"
            found.append(Anomaly("disordered", said, proof(event.operation)))
        last[hold] = value["offset"]
    return found


def _two_owners(gives: list[Event]) -> list[Anomaly]:
    """In one generation a partition is one member's."""
    owners: dict[tuple[int, int], set[str]] = defaultdict(set)
    for event in gives:
        owners[event.value["partition"], event.value["generation"]].add(event.process)
    return [
        Anomaly("two owners", f"partition {partition} was given to {sorted(processes)} in generation {generation}")
        for (partition, generation), processes in sorted(owners.items())
        if len(processes) > 1
    ]


def _given_again(gives: list[Event], commits: list[_Commit]) -> list[Anomaly]:
    """What is below an acknowledged position is not given in that generation or a later one."""
    committed = _Committed(commits)
    found = []
    for event in sorted(gives, key=lambda event: event.time_s):
        committed.advance(event.time_s)
        value = event.value
        commit = committed.highest[value["partition"]].upto(value["generation"])
        if commit is not None and value["offset"] < commit.position:
            found.append(
                Anomaly(
                    "given again",
                    f"{event.process} got {value['partition']}@{value['offset']} in generation {value['generation']} "
                    f"after {commit.process} had committed {commit.position}",
                    proof(commit.operation, event.operation),
                )
            )
    return found


def _firsts(events: Iterable[Event]) -> dict[int, int]:
    """Of each partition what is deleted in the end: all before that."""
    ends = [event.value for event in events if event.name == "end" and event.kind is Kind.OK]
    return {value["partition"]: value["first"] for value in ends}


def _committed_ungiven(
    gives: list[Event], commits: list[_Commit], compaction: Compaction | None, deleted: dict[int, int] | None
) -> list[Anomaly]:
    """A position passes only what somebody had been given by then. What nobody ever gets is `skipped`.

    What is `deleted` was gone by then if only a zombie gave it later, who had it from before. Of a run that broke off
    it is not known what is.
    """
    given_s: dict[int, dict[int, float]] = defaultdict(dict)
    newest: dict[tuple[int, int], int] = {}
    for event in gives:
        times = given_s[event.value["partition"]]
        offset, generation = event.value["offset"], event.value["generation"]
        times[offset] = min(event.time_s, times.get(offset, event.time_s))
        place = event.value["partition"], offset
        newest[place] = max(generation, newest.get(place, generation))
    left = {partition: sorted(times, reverse=True) for partition, times in given_s.items()}
    found = []
    for commit in sorted(commits, key=lambda commit: commit.invoked_s):
        mine = left.get(commit.partition, [])
        while mine and mine[-1] < commit.position:
            offset = mine.pop()
            if given_s[commit.partition][offset] <= commit.invoked_s:
                continue
            gone = deleted is not None and offset < deleted.get(commit.partition, offset + 1)
            if gone and newest[commit.partition, offset] < commit.generation:
                continue
            record = compaction.at(commit.partition, offset) if compaction is not None else None
            if record is not None and compaction is not None and compaction.may_miss(record, commit.invoked_s):
                continue
            detail = f"{commit.process} committed {commit.position} of {commit.partition}; nobody had {offset} by then"
            found.append(Anomaly("committed ungiven", detail, proof(commit.operation)))
    return found


def _went_back(events: Iterable[Event], commits: list[_Commit]) -> list[Anomaly]:
    """Positions rise, within a generation and from one to the next; whoever asks is told what was acknowledged."""
    committed = _Committed(commits)
    found = []
    for commit in sorted(commits, key=lambda commit: commit.invoked_s):
        committed.advance(commit.invoked_s)
        before = committed.highest[commit.partition].upto(commit.generation)
        if before is not None and before.position > commit.position:
            found.append(_back(commit.partition, commit.position, f"{commit.process} committed", commit, before))
    committed = _Committed(commits)
    asked: dict[int, Event] = {}
    told = []
    for event in events:
        if event.name == "position" and event.kind is Kind.INVOKE:
            asked[event.operation] = event
        elif event.name == "position" and event.kind is Kind.OK:
            told.append((asked[event.operation].time_s, event))
    for invoked_s, event in sorted(told, key=lambda pair: pair[0]):
        committed.advance(invoked_s)
        partition, position = event.value["partition"], event.value["position"]
        held = committed.highest[partition].commits
        if held and held[-1].position > position:
            found.append(_back(partition, position, f"{event.process} was told", event, held[-1]))
    return found


def _back(partition: int, position: int, who: str, by: _Commit | Event, before: _Commit) -> Anomaly:
    detail = f"{who} {position} of {partition} after {before.process} had committed {before.position}"
    return Anomaly("position went back", detail, proof(before.operation, by.operation))


def _unfenced(gives: list[Event], commits: list[_Commit]) -> list[Anomaly]:
    """Once a generation was given records, or has committed, no lower one commits."""
    known = [
        *((give.time_s, give.value["partition"], give.value["generation"], give.process, 0) for give in gives),
        *((one.ended_s, one.partition, one.generation, one.process, one.operation) for one in commits),
    ]
    known.sort(key=lambda one: one[0], reverse=True)
    newest: dict[int, tuple[int, str, int]] = {}
    found = []
    for commit in sorted(commits, key=lambda commit: commit.invoked_s):
        while known and known[-1][0] < commit.invoked_s:
            _, partition, generation, process, operation = known.pop()
            if partition not in newest or generation > newest[partition][0]:
                newest[partition] = generation, process, operation
        generation, process, operation = newest.get(commit.partition, (-1, "", 0))
        if generation > commit.generation:
            found.append(
                Anomaly(
                    "not fenced",
                    f"{commit.process} committed {commit.partition} in generation {commit.generation} after "
                    f"{process} had {'committed' if operation else 'been given a record'} in {generation}",
                    proof(operation, commit.operation),
                )
            )
    return found
