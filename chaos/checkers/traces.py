"""Raft's own invariants, from what nodes say of themselves: one leader in a term, and terms that never fall.

A trace is a node's log, a JSON object a line (structlog), turned into events of the scope `trace`, with the node as
process and the line's number as operation. Judged are those that name a term, of a partition (`leader_elected`,
`leader_followed`, `replica_started`) or of the controller's quorum (`controller_…`). Each node's lines are in its own
order; times of nodes are not compared, for clocks are among the things that go wrong.

A node says whom it follows as soon as it does, and may be killed before that term is on its disk; nothing that it
promised rests on it then. So a term that was only followed, shortly before its node's end, may be gone: by that node's
own clock, and if a fault has set that one, however long it seems. Where the end of a life is not told (`life_ended`),
the next start counts for it.

A node whose disk lied about a sync (`lying_sync`) has forgotten what it had promised: at its next start terms may be
lower than they were. That nobody else led in one of them is looked for all the same.

A replica that begins anew on an empty disk has another id, and with it another history of terms; a node whose disk was
wiped has another one in the controller's quorum, from its next start on.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.faults import clock_faults, faults_of
from chaos.history import Event, Kind

SCOPE = "trace"
CONTROLLER = "controller"
LEADS = {"leader_elected", "controller_elected"}
STARTED = "controller_started"
REPLICA_STARTED = "replica_started"
LYING = "lying_sync"
LIFE_ENDED = "life_ended"
UNSYNCED_S_MAX = 20.0
"""Between what a node heard last and its end."""


def trace_events(node: int, lines: Iterable[str], *, began_s: float = 0.0) -> Iterator[Event]:
    """A node's log as events. `began_s`: the wall clock's time at which the run began. Other lines are passed over."""
    for number, line in enumerate(lines, start=1):
        told = parsed(line)
        if told is None:
            continue
        what = str(told.pop("event"))
        time_s = _wall_s(str(told.pop("timestamp", ""))) - began_s
        yield Event(
            operation=number,
            process=f"node-{node}",
            kind=Kind.OK,
            name=what,
            time_s=time_s,
            value={"node": node} | told,
            scope=SCOPE,
        )


def judged_events(events: Iterable[Event], lives: Iterable[int]) -> Iterator[Event]:
    """Of one node's trace what is judged, and where its lives end. `lives`: the lines with which others begin."""
    later, last = sorted(lives, reverse=True), None
    for event in events:
        while later and later[-1] <= event.operation:
            later.pop()
            if last is not None:
                yield life_ended(last)
        if "term" in event.value:
            yield event
        last = event


def life_ended(last: Event) -> Event:
    """That a node's process was over with that event of its trace; what it logs behind that is the next one's."""
    return replace(last, name=LIFE_ENDED, value={"node": last.value["node"]})


def _wall_s(stamp: str) -> float:
    """Seconds since 1970, 0 if it is no time."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def parsed(line: str) -> dict[str, object] | None:
    """What one line of a trace says; None if it is none."""
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None  # cut off where its node was killed, or printed by somebody else
    return told if isinstance(told, dict) and "event" in told else None


@dataclass(slots=True)
class _Heard:
    """A term that a replica has only followed so far: when it began to, the term before, and the end of its life."""

    before: int
    before_line: str
    since_s: float
    ended_s: float | None = None

    def lasted_s(self, started_s: float) -> float:
        """Until its node was over, which was at its next start at the latest."""
        return (started_s if self.ended_s is None else self.ended_s) - self.since_s


def check_traces(events: Iterable[Event], *, wiped: Collection[int] = ()) -> list[Anomaly]:
    """Everything that is wrong. `wiped`: nodes whose disks were emptied at some time."""
    leaders: dict[tuple[str, int], dict[tuple[int, int], str]] = defaultdict(dict)
    terms: dict[tuple[str, int, int], tuple[int, str]] = {}
    heard: dict[tuple[str, int, int], _Heard] = {}
    found = []
    events = list(events)
    lied_to = {node for fault in faults_of(events) if fault.name == LYING for node in fault.nodes}
    set_clocks = {node for fault in clock_faults(events) for node in fault.nodes}
    for event in events:
        if event.scope == SCOPE and event.name == LIFE_ENDED:
            _note_end(event, heard)
        if event.scope != SCOPE or "term" not in event.value:
            continue
        group = event.value.get("partition")
        if event.name.startswith(CONTROLLER):  # each configuration of the quorum has terms of its own
            group = f"{CONTROLLER}/{event.value.get('configuration', 1)}"
        if not isinstance(group, str):
            continue
        term, node, replica = event.value["term"], event.value["node"], event.value.get("replica", 0)
        line = f"{event.process} line {event.operation}"
        if event.name in LEADS:
            leaders[group, term].setdefault((node, replica), line)
        elif event.name == "leader_followed":
            node_led = event.value["leader"]
            if all(leader != node_led for leader, _ in leaders[group, term]):
                leaders[group, term][node_led, 0] = line
        mine = group, node, replica
        if (event.name == STARTED and node in wiped) or (event.name in {STARTED, REPLICA_STARTED} and node in lied_to):
            terms.pop(mine, None)
            heard.pop(mine, None)
        before, before_line = terms.get(mine, (0, ""))
        unsynced = heard.pop(mine, None)
        if event.name == "leader_followed" and term > before:
            heard[mine] = _Heard(before, before_line, event.time_s)
        elif (
            event.name == REPLICA_STARTED
            and unsynced
            and (node in set_clocks or unsynced.lasted_s(event.time_s) <= UNSYNCED_S_MAX)
        ):
            before, before_line = unsynced.before, unsynced.before_line
        if term < before:
            found.append(
                Anomaly("term fell", f"{group} on node {node}: term {term} ({line}) after {before} ({before_line})")
            )
        terms[mine] = term, line
    for (group, term), lead in sorted(leaders.items()):
        real = {(node, replica) for node, replica in lead if replica or group.startswith(CONTROLLER)}
        told_only = {place for place in lead if place not in real and place[0] not in {node for node, _ in real}}
        if len(real) + len(told_only) > 1:
            lines = ", ".join(f"node {node} ({line})" for (node, _), line in sorted(lead.items()))
            found.append(Anomaly("two leaders", f"{group} has in term {term}: {lines}"))
    return found


def _note_end(event: Event, heard: Mapping[tuple[str, int, int], _Heard]) -> None:
    """A node's life is over: so long it had to get to its disk what it had heard in it."""
    for (_, node, _), unsynced in heard.items():
        if node == event.value["node"] and unsynced.ended_s is None:
            unsynced.ended_s = event.time_s
