"""Topics as clients saw them: made, altered and deleted in one order for each name, and nothing outlives its topic.

Events, each with `topic`, its name; ids are hexadecimal:
- `create` {partitions, if_absent, retention_ms}, ok {id};
- `alter` {retention_ms}, ok {id, partitions, retention_ms}, as they are after it; `retention_ms` None: nothing is
  changed, and so the cluster is asked what is there now;
- `delete`;
- `describe`, ok {id}, and `list` (no topic), ok {topics: {name: id}}: a node's own knowledge, which may be old. Lists
  of the process `final` are read when nothing happens any more: they have to be what `final` was told by `alter`;
- `send` and `read`, as of a log, with the `id` of the topic that they went to;
- `status` (no topic), ok {node, version}: how far a node has heard the controller.

Refusals are observations, too: TOPIC_EXISTS and UNKNOWN_TOPIC in `error`. Any other failure did nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.log import check_log
from chaos.checkers.registers import STEPS_MAX, Operation, Result, Verb, find_order
from chaos.history import Event, Kind

ECHO_S = 20.0
"""An attempt of a request that is sent again may take effect so long after another one was answered."""
FINAL = "final"
NEVER_S = float("inf")
AFTER_ALL = {"unseen", "lost write"}
"""Anomalies that only a final read can tell."""


@dataclass(slots=True)
class _Done:
    """An operation with its two events. `kind` INFO: nobody knows."""

    name: str
    process: str
    topic: str
    invoked_s: float
    said: dict[str, Any]
    kind: Kind = Kind.INFO
    ended_s: float = NEVER_S
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Of the topic that it was told of; empty: of none."""
        return str(self.told.get("id", ""))

    @property
    def words(self) -> str:
        """For people."""
        what = self.told.get("error", "") if self.kind is Kind.FAIL else self.id[:8] or self.kind.value
        return f"{self.process} {self.name} {self.invoked_s:.3f}-{self.ended_s:.3f} {what}"


def check_metadata(events: Iterable[Event], *, steps_max: int = STEPS_MAX) -> list[Anomaly]:
    """Everything that is wrong."""
    events = list(events)
    by_topic: dict[str, list[_Done]] = defaultdict(list)
    lists, statuses = [], []
    for done in _operations(events):
        if done.name == "list":
            lists.append(done)
        elif done.name == "status":
            statuses.append(done)
        else:
            by_topic[done.topic].append(done)
    found = _ids(by_topic)
    for topic, operations in sorted(by_topic.items()):
        named = [
            *_came_back(topic, operations),
            *_phantoms(topic, operations, lists),
            *_finally(topic, operations, lists),
        ]
        found += named or _ordered(topic, operations, steps_max)
    return [*found, *_went_back(statuses), *_records(events)]


def _operations(events: Sequence[Event]) -> list[_Done]:
    found: dict[int, _Done] = {}
    for event in events:
        if event.kind is Kind.INVOKE and event.name not in {"send", "read", "copy"}:
            topic = event.value.get("topic", "")
            found[event.operation] = _Done(event.name, event.process, topic, event.time_s, event.value)
        elif event.operation in found:
            done = found[event.operation]
            done.kind, done.told = event.kind, event.value
            done.ended_s = NEVER_S if event.kind is Kind.INFO else event.time_s
    return list(found.values())


# --- one order


def _ordered(topic: str, operations: Sequence[_Done], steps_max: int) -> list[Anomaly]:
    order = find_order([one for done in operations for one in _as_register(done)], steps_max=steps_max)
    if order.possible and order.decided:
        return []
    if not order.decided:
        return [
            Anomaly(
                "metadata undecided", f"{topic}: no order was found, nor that there is none, in {order.steps} steps"
            )
        ]
    stuck = "; ".join(operation.words for operation in order.stuck[:6])
    return [Anomaly("metadata not linearizable", f"{topic}: none of these can come next: {stuck}")]


def _as_register(done: _Done) -> list[Operation]:
    """What it was for the name's register. An alteration is told what is there some time after it."""
    verb = _verb(done)
    result = _result(done)
    if verb is None or result is None:
        return []
    ensures, unknown = verb is Verb.ENSURE, result is Result.UNKNOWN
    echo_until_s = done.ended_s + ECHO_S if verb in {Verb.ENSURE, Verb.ALTER} else 0.0
    times: dict[str, Any] = {"invoked_s": done.invoked_s, "ended_s": done.ended_s, "words": done.words}
    look = _look(done, times) if done.name == "alter" and result is Result.DONE else []
    if verb is Verb.LOOK:
        return [] if unknown else look or [Operation(verb=verb, result=result, **times)]
    asked = Operation(
        verb=verb,
        result=result,
        id=done.id if verb is Verb.CREATE or ensures else "",
        partitions=done.said.get("partitions", 0),
        kept=done.said.get("retention_ms"),
        echo_until_s=echo_until_s,
        **times,
    )
    return [asked, *look]


def _look(done: _Done, times: dict[str, Any]) -> list[Operation]:
    told = done.told
    return [
        Operation(
            verb=Verb.LOOK,
            result=Result.DONE,
            id=done.id,
            partitions=told["partitions"],
            kept=told["retention_ms"],
            **times,
        )
    ]


def _verb(done: _Done) -> Verb | None:
    match done.name:
        case "create":
            return Verb.ENSURE if done.said["if_absent"] else Verb.CREATE
        case "alter":
            return Verb.LOOK if done.said["retention_ms"] is None else Verb.ALTER
        case "delete":
            return Verb.DELETE
    return None


def _result(done: _Done) -> Result | None:
    """None: it did nothing and saw nothing."""
    match done.kind:
        case Kind.OK:
            return Result.DONE
        case Kind.FAIL:
            refusal = "TOPIC_EXISTS" if done.name == "create" else "UNKNOWN_TOPIC"
            return Result.REFUSED if done.told.get("error") == refusal else None
    return Result.UNKNOWN


# --- by name


def _ids(by_topic: dict[str, list[_Done]]) -> list[Anomaly]:
    """An id is made once, under one name."""
    names: dict[str, set[str]] = defaultdict(set)
    makers: dict[str, list[_Done]] = defaultdict(list)
    for topic, operations in by_topic.items():
        for done in operations:
            if done.id:
                names[done.id].add(topic)
            if done.id and _verb(done) is Verb.CREATE:
                makers[done.id].append(done)
    found = [
        Anomaly("id twice", f"{name[:8]} is {sorted(topics)}") for name, topics in names.items() if len(topics) > 1
    ]
    return found + [
        Anomaly("id twice", f"{name[:8]} was made by {'; '.join(done.words for done in made)}")
        for name, made in makers.items()
        if len(made) > 1
    ]


def _came_back(topic: str, operations: Sequence[_Done]) -> list[Anomaly]:
    """It was there; it was deleted, or another one made; it was there."""
    sightings: dict[str, list[_Done]] = defaultdict(list)
    for done in operations:
        if done.id and _verb(done) is not None:
            sightings[done.id].append(done)
    found = []
    for topic_id, seen in sightings.items():
        first_s = min(done.ended_s for done in seen)
        last = max(seen, key=lambda done: done.invoked_s)
        for done in operations:
            other = done.name == "delete" or (_verb(done) is Verb.CREATE and done.id != topic_id)
            if done.kind is Kind.OK and other and first_s < done.invoked_s and done.ended_s < last.invoked_s:
                found.append(
                    Anomaly(
                        "topic came back", f"{topic}: {topic_id[:8]} was there, then {done.words}, then {last.words}"
                    )
                )
                break
    return found


def _phantoms(topic: str, operations: Sequence[_Done], lists: Sequence[_Done]) -> list[Anomaly]:
    """Nobody is told of a topic that nobody can have made yet."""
    made_s: dict[str, float] = {}
    unknown_s = NEVER_S
    for done in operations:
        if done.name == "create" and done.id:
            made_s[done.id] = min(done.invoked_s, made_s.get(done.id, NEVER_S))
        if done.name == "create" and (done.kind is not Kind.FAIL or done.said["if_absent"]):
            told = _verb(done) is Verb.CREATE and done.kind is Kind.OK
            unknown_s = unknown_s if told else min(unknown_s, done.invoked_s)
    sightings = [(done.id, done) for done in operations if done.id]
    sightings += [(done.told["topics"][topic], done) for done in lists if topic in done.told.get("topics", ())]
    return [
        Anomaly("phantom topic", f"{topic}: nobody can have made {topic_id[:8]} before {done.words}")
        for topic_id, done in sightings
        if min(made_s.get(topic_id, NEVER_S), unknown_s) > done.ended_s
    ]


def _finally(topic: str, operations: Sequence[_Done], lists: Sequence[_Done]) -> list[Anomaly]:
    """When everything is at rest, nodes know what the controller has decided."""
    looks = [
        done for done in operations if done.process == FINAL and done.name == "alter" and _result(done) is not None
    ]
    listed = [done for done in lists if done.process == FINAL and done.kind is Kind.OK]
    if not looks or not listed:
        return []
    there, known = looks[-1].id, listed[-1].told["topics"].get(topic, "")
    if there == known:
        return []
    name = "topic came back" if not there else "topic vanished" if not known else "wrong topic"
    return [
        Anomaly(name, f"{topic}: the controller has {there[:8] or 'none'}, a list {known[:8] or 'none'}, at the end")
    ]


def _went_back(statuses: Sequence[_Done]) -> list[Anomaly]:
    """A node does not forget what it has heard from the controller, whatever happens to it."""
    found = []
    furthest: dict[int, tuple[float, int]] = {}
    told = [done for done in statuses if done.kind is Kind.OK]
    waiting = sorted(told, key=lambda done: done.ended_s)
    for done in sorted(told, key=lambda done: done.invoked_s):
        while waiting and waiting[0].ended_s < done.invoked_s:
            earlier = waiting.pop(0)
            node, version = earlier.told["node"], earlier.told["version"]
            if version > furthest.get(node, (0.0, -1))[1]:
                furthest[node] = (earlier.ended_s, version)
        at_s, version = furthest.get(done.told["node"], (0.0, -1))
        if done.told["version"] < version:
            detail = f"node {done.told['node']} knew {version} at {at_s:.3f} s, and {done.told['version']} after that"
            found.append(Anomaly("metadata went back", detail))
    return found


# --- records


def _records(events: Sequence[Event]) -> list[Anomaly]:
    """A topic holds what was sent to it from offset 0, and nothing that was sent to another one of its name."""
    sent_to: dict[str, str] = {}
    by_id: dict[str, list[Event]] = defaultdict(list)
    topics: dict[int, tuple[str, str]] = {}
    found = []
    for event in events:
        if event.name not in {"send", "read"}:
            continue
        if event.kind is Kind.INVOKE:
            topics[event.operation] = event.value["topic"], event.value["id"]
            if event.name == "send":
                sent_to[event.value["value"]] = event.value["id"]
        topic, topic_id = topics[event.operation]
        by_id[topic_id].append(event)
        if event.name != "read" or event.kind is not Kind.OK:
            continue
        foreign = [record[2] for record in event.value["records"] if sent_to.get(record[2], topic_id) != topic_id]
        if foreign:
            found.append(Anomaly("inherited records", f"{topic}: {topic_id[:8]} has {foreign[0]}, sent to another one"))
        if event.value.get("first", 0):
            found.append(Anomaly("inherited offsets", f"{topic}: {topic_id[:8]} begins at {event.value['first']}"))
    if found:
        return found
    for topic_id, of_it in by_id.items():
        topic = topics[of_it[0].operation][0]
        is_whole = any(event.process == FINAL and event.kind is Kind.OK for event in of_it)
        found += [
            Anomaly(anomaly.name, f"{topic} {topic_id[:8]}: {anomaly.detail}")
            for anomaly in check_log(of_it, final=FINAL)
            if is_whole or anomaly.name not in AFTER_ALL
        ]
    return found
