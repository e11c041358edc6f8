"""A group's deliveries and commits as its members saw them: nothing skipped, nothing given again that was committed.

Events, all of kind `ok` but for commits whose outcome is not known:
- `give` {partition, generation, offset}: a member's application got a record.
- `commit` {partition, generation, position}: everything before the position was processed; a pair of events.
- `end` {partition, first, end}: what there was to process, in the end.

A member that was cut off for longer than its grace may go on for a while with what it has (a zombie): its generation is
lower than its successor's. So rules that compare two members compare generations.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, Kind


@dataclass(frozen=True, slots=True)
class _Commit:
    partition: int
    generation: int
    position: int
    process: str
    invoked_s: float
    ended_s: float


def check_group(events: Iterable[Event]) -> list[Anomaly]:
    """Everything that is wrong."""
    events = list(events)
    gives = [event for event in events if event.name == "give"]
    commits = _acknowledged(events)
    return [*_skipped(events, gives), *_disordered(gives), *_given_again(gives, commits), *_unfenced(commits)]


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


def _skipped(events: Iterable[Event], gives: list[Event]) -> list[Anomaly]:
    """Every record that is there in the end was given to somebody."""
    given: dict[int, set[int]] = defaultdict(set)
    for event in gives:
        given[event.value["partition"]].add(event.value["offset"])
    found = []
    for event in events:
        if event.name == "end" and event.kind is Kind.OK:
            partition = event.value["partition"]
            missing = sorted(set(range(event.value["first"], event.value["end"])) - given[partition])
            if missing:
                found.append(Anomaly("skipped", f"{len(missing)} of partition {partition}, the first is {missing[0]}"))
    return found


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
