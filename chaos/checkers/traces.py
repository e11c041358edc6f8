"""Raft's own invariants, from what nodes say of themselves: one leader in a term, and terms that never fall.

A trace is a node's log, a JSON object a line (structlog), turned into events of the scope `trace`, with the node as
process and the line's number as operation. Judged are those that name a term, of a partition (`leader_elected`,
`leader_followed`, `replica_started`) or of the controller's quorum (`controller_…`). Each node's lines are in its own
order; times of nodes are not compared, for clocks are among the things that go wrong.

A node says whom it follows as soon as it does, and may be killed before that term is on its disk; nothing that it
promised rests on it then. So a term that was only followed, shortly before a start, may be gone.

A node whose disk lied about a sync (`lying_sync`) has forgotten what it had promised: at its next start terms may be
lower than they were. That nobody else led in one of them is looked for all the same.

A replica that begins anew on an empty disk has another id, and with it another history of terms; a node whose disk was
wiped has another one in the controller's quorum, from its next start on.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.faults import faults_of
from chaos.history import Event, Kind

SCOPE = "trace"
CONTROLLER = "controller"
LEADS = {"leader_elected", "controller_elected"}
STARTED = "controller_started"
REPLICA_STARTED = "replica_started"
LYING = "lying_sync"
UNSYNCED_S_MAX = 20.0
"""Between what a node heard last and its next start."""


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


def check_traces(events: Iterable[Event], *, wiped: Collection[int] = ()) -> list[Anomaly]:
    """Everything that is wrong. `wiped`: nodes whose disks were emptied at some time."""
    leaders: dict[tuple[str, int], dict[tuple[int, int], str]] = defaultdict(dict)
    terms: dict[tuple[str, int, int], tuple[int, str]] = {}
    heard: dict[tuple[str, int, int], tuple[int, str, float]] = {}
    """The term before one that a replica has only followed so far, and when it began to."""
    found = []
    events = list(events)
    lied_to = {node for fault in faults_of(events) if fault.name == LYING for node in fault.nodes}
    for event in events:
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
            heard[mine] = before, before_line, event.time_s
        elif event.name == REPLICA_STARTED and unsynced and event.time_s - unsynced[2] <= UNSYNCED_S_MAX:
            before, before_line = unsynced[:2]
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
