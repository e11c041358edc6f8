"""Ends of nodes that a fault excuses, and those that come too late for it. The nodes are a small program, and run."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.expected import allowed_events, over
from chaos.arenas.processes.kills import RollingRestart
from chaos.arenas.processes.limits import ProcessLimits
from chaos.arenas.processes.nodes import ProcessNodes
from chaos.checkers.absences import absences_of
from chaos.history import History, Kind
from chaos.nemeses import known  # noqa: F401  all faults are registered with it

PROGRAM = """
import json, signal, sys, time
def end(number, frame):
    if number == signal.SIGUSR2:
        print(json.dumps({"event": "node_failed", "level": "critical"}), flush=True)
        time.sleep(1.5)
    sys.exit(3)
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, end)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
while True:
    signal.pause()
"""
"""Ends by SIGUSR1, at once, and by SIGUSR2, when it has said so."""


@pytest.fixture
async def arena(tmp_path: Path) -> AsyncIterator[ProcessArena]:
    """Nobody is asked whether the cluster is ready."""
    arena = ProcessArena(tmp_path, nodes=1, seed=1, history=History(), allowed=allowed_events(["descriptors"]))
    arena.processes.program = ("-c", PROGRAM)
    yield arena
    await arena.stop()


async def _started(nodes: ProcessNodes) -> None:
    lives = nodes.restarts + 1
    await nodes.start(1)
    await _until(lambda: nodes.log_path(1).read_text().count("ready") >= lives)


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.01)


async def _ends(nodes: ProcessNodes, number: signal.Signals = signal.SIGUSR1) -> None:
    nodes.signal(1, number)
    await _until(lambda: nodes.pid(1) is None)


async def _named(arena: ProcessArena) -> list[str]:
    arena.processes.look()
    await arena.processes.stop()
    return [anomaly.name for anomaly in arena.processes.anomalies + arena._read_log(1)]


async def test_a_node_that_survived_its_fault_may_not_end_any_more(arena: ProcessArena) -> None:
    """A limit was lifted from it while it ran: what ends it a minute later is no fault's doing."""
    nodes = arena.processes
    await _started(nodes)
    limit = (await ProcessLimits().fit(nodes))["descriptors"]
    mend = await limit.inject([1], {"spare": 8})
    assert mend is not None
    await mend()
    await _ends(nodes)

    assert ["node ended"] == await _named(arena)


async def test_a_node_that_is_dying_when_its_fault_is_over_is_started_again(arena: ProcessArena) -> None:
    """It has said so, and takes its time; its words are excused in that life, and in no other."""
    nodes = arena.processes
    await _started(nodes)
    nodes.expect_end(1)
    first = nodes.pid(1)
    nodes.signal(1, signal.SIGUSR2)
    await over(nodes, 1)

    assert nodes.pid(1) not in {None, first}
    await _until(lambda: nodes.log_path(1).read_text().count("ready") >= 2)
    await _ends(nodes, signal.SIGUSR2)
    assert ["node ended", "unexpected event"] == await _named(arena)


STARVED = PROGRAM.replace("    sys.exit(3)", "    time.sleep(3)\n    sys.exit(3)")
"""It gets no time to do so."""


async def test_a_node_that_ends_late_and_says_nothing_has_its_fault_to_blame(arena: ProcessArena) -> None:
    """What it has is not enough time: its end is waited for, and it is started again."""
    nodes = arena.processes
    nodes.program = ("-c", STARVED)
    await _started(nodes)
    nodes.expect_end(1)
    first = nodes.pid(1)
    nodes.signal(1, signal.SIGUSR1)
    await over(nodes, 1)

    assert nodes.pid(1) not in {None, first}
    await _until(lambda: nodes.log_path(1).read_text().count("ready") >= 2)
    assert [] == await _named(arena)


async def test_the_end_of_a_node_in_its_fault_is_no_anomaly(arena: ProcessArena) -> None:
    """Nor is what it says of it, whether it is started again or not."""
    nodes = arena.processes
    for _ in range(2):
        await _started(nodes)
        nodes.expect_end(1)
        await _ends(nodes, signal.SIGUSR2)

    assert [] == await _named(arena)


async def test_a_rolling_restart_says_when_each_node_is_down(arena: ProcessArena) -> None:
    """From when it is asked to stop until the cluster answers again."""
    nodes = arena.processes
    await _started(nodes)

    async def ready(node: int) -> None:
        await _until(lambda: nodes.log_path(node).read_text().count("ready") == 2)

    await RollingRestart(nodes, ready).inject([1], {})

    told = [event.value["what"] for event in arena._history.events if "what" in event.value]
    assert ["started", "restarting", "terminated", "started", "ready"] == told


@pytest.mark.parametrize(
    ("fault", "event", "wrong"),
    [
        ("kill", "replica_lost", 1),
        ("kill", "vote_damaged", 1),
        ("kill", "log_damaged", 0),  # in the middle of a write: what is torn is set aside
        ("pause", "log_damaged", 1),
        ("power_loss", "log_damaged", 0),
        ("power_loss", "vote_damaged", 1),
        ("lying_sync", "replica_lost", 0),
        ("damaged_vote", "vote_damaged", 0),
        ("damaged_log", "follower_forgot", 0),
        ("sync_fails", "follower_forgot", 1),
    ],
)
async def test_damage_is_told_only_where_it_was_done(tmp_path: Path, fault: str, event: str, wrong: int) -> None:
    """A lost replica in a run of kills is nobody's doing but the node's."""
    arena = ProcessArena(tmp_path, nodes=1, seed=1, history=History(), allowed=allowed_events([fault]))
    path = arena.processes.log_path(1)
    await asyncio.to_thread(path.parent.mkdir, parents=True)
    path.write_text(json.dumps({"event": event, "level": "error"}) + os.linesep)
    found = arena._read_log(1)
    await arena.stop()

    assert (["unexpected event"] if wrong else []) == [anomaly.name for anomaly in found]


async def test_an_end_that_nobody_has_looked_at_is_told_though_the_node_is_started_again(arena: ProcessArena) -> None:
    """By whatever starts it: its process is another one then."""
    await _started(arena.processes)
    await _ends(arena.processes)
    await arena.processes.start(1)
    await _until(lambda: arena.processes.log_path(1).read_text().count("ready") == 2)

    assert ["node ended"] == await _named(arena)
    assert ["started", "ended", "started"] == [what for what in _noted(arena) if what in {"started", "ended"}]


TELLING = """
import json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for event in ({"event": "leader_followed", "term": 3}, {"event": "idle"}):
    print(json.dumps({"level": "info", "timestamp": "2026-11-28T03:43:10Z"} | event), flush=True)
print("ready", flush=True)
while True:
    signal.pause()
"""


async def test_a_trace_says_where_a_life_ended(arena: ProcessArena) -> None:
    """With the last that was heard in it, whatever that was; the last life of all ends with the run."""
    arena.processes.program = ("-c", TELLING)
    for life in range(1, 4):
        await arena.processes.start(1)
        await _until(lambda life=life: arena.processes.log_path(1).read_text().count("ready") >= life)
        await arena.processes.kill(1)

    assert [] == await _named(arena)

    told = [(event.name, event.operation) for event in arena._history.events if event.scope == "trace"]
    assert [
        ("leader_followed", 1),
        ("life_ended", 2),
        ("leader_followed", 4),
        ("life_ended", 5),
        ("leader_followed", 7),
    ] == told


SLOW = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening", flush=True)
time.sleep(0.5)
print(json.dumps({"event": "node_ready", "level": "info"}), flush=True)
while True:
    signal.pause()
"""


async def test_a_node_is_up_when_it_says_so(arena: ProcessArena) -> None:
    """Of each of its lives; not of one that ended before."""
    nodes, log = arena.processes, arena.processes.log_path(1)
    nodes.program = ("-c", SLOW)
    await nodes.start(1)
    await _until(lambda: "up" in _noted(arena))
    await nodes.kill(1)
    await nodes.start(1)
    await _until(lambda: log.read_text().count("listening") == 2)
    await nodes.kill(1)
    await nodes.start(1)
    await _until(lambda: _noted(arena).count("up") == 2)

    assert ["started", "up", "killed", "started", "killed", "started", "up"] == _noted(arena)
    (absence,) = absences_of(arena._history.events)
    assert absence.began_s < absence.ended_s <= arena.now_s()


def _noted(arena: ProcessArena) -> list[str]:
    """What became of nodes, so far."""
    return [event.value["what"] for event in arena._history.events if event.kind is Kind.INVOKE]
