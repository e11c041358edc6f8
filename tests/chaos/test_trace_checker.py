"""Two leaders in a term, and terms that fall, by what nodes log; what real nodes log in virtual time passes."""

import asyncio
import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from chaos.checkers.traces import check_traces, life_ended, trace_events
from chaos.history import Event, Kind
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster


def _line(event: str, **fields: int | str) -> str:
    return json.dumps(fields | {"event": event, "level": "info", "timestamp": "2026-11-27T10:00:01.500000Z"})


def _names(*logs: list[str], wiped: tuple[int, ...] = ()) -> list[str]:
    """What is wrong with these logs, of nodes 1, 2 and so on."""
    events = [event for node, lines in enumerate(logs, 1) for event in trace_events(node, lines)]
    return [anomaly.name for anomaly in check_traces(events, wiped=wiped)]


def _led(term: int, *, replica: int, partition: str = "aa/0") -> str:
    return _line("leader_elected", partition=partition, term=term, replica=replica)


def _followed(term: int, *, replica: int, leader: int) -> str:
    return _line("leader_followed", partition="aa/0", term=term, replica=replica, leader=leader)


def test_a_trace_is_read_line_by_line() -> None:
    """Each is an event of its node, with its number; what is no event is passed over."""
    lines = ["Traceback (most recent call last):", _led(3, replica=7), '{"event": "cut o', "[1]", '{"event": "x"}']
    first, second = trace_events(2, lines, began_s=1_795_773_600.0)
    assert ("trace", "node-2", 2, "leader_elected", 1.5) == (
        first.scope,
        first.process,
        first.operation,
        first.name,
        first.time_s,
    )
    assert {"node": 2, "partition": "aa/0", "term": 3, "replica": 7, "level": "info"} == first.value
    assert "x" == second.name


def test_one_leader_a_term_passes() -> None:
    """It may say so twice, others may follow it, also before it says so; and each partition has its own terms."""
    assert [] == _names(
        [_led(1, replica=1), _led(1, replica=1), _followed(2, replica=1, leader=2)],
        [_followed(1, replica=2, leader=1), _led(2, replica=2), _led(1, replica=12, partition="bb/0")],
        [_followed(1, replica=3, leader=1), _followed(2, replica=3, leader=2)],
    )


@pytest.mark.parametrize(
    "other", [_led(1, replica=2), _followed(1, replica=2, leader=2), _followed(1, replica=2, leader=3)]
)
def test_two_leaders_of_a_term_are_caught(other: str) -> None:
    """By their own words, or by what a follower heard."""
    assert ["two leaders"] == _names([_led(1, replica=1)], [other])


def test_two_followers_of_different_leaders_are_caught() -> None:
    """Neither leader's own log need be there."""
    followed = [[_followed(1, replica=replica, leader=replica + 2)] for replica in (1, 2)]
    assert ["two leaders"] == _names(*followed)


def test_a_term_that_falls_is_caught() -> None:
    """Of one replica, also when it is started again; another replica on that node has its own."""
    started = _line("replica_started", partition="aa/0", term=2, replica=1)
    assert [] == _names([_led(2, replica=1), started])
    assert ["term fell"] == _names([_led(3, replica=1), started])
    assert [] == _names([_led(3, replica=1), _line("replica_started", partition="aa/0", term=0, replica=9)])


def test_a_disk_that_lied_may_forget_terms_and_no_other() -> None:
    """At a start, not while the node runs; and two leaders of a term are two, whatever a disk says."""
    lied = Event(
        operation=1,
        process="nemesis",
        kind=Kind.INVOKE,
        name="lying_sync",
        time_s=1.0,
        value={"nodes": [1]},
        scope="nemesis",
    )
    started = _line("replica_started", partition="aa/0", term=2, replica=1)
    for lines, expected in (
        ([_led(3, replica=1), started], []),
        ([_led(3, replica=1), _led(2, replica=1)], ["term fell"]),
    ):
        events = [lied, *trace_events(1, lines)]
        assert expected == [anomaly.name for anomaly in check_traces(events)]
        events = [lied, *trace_events(2, lines)]
        assert ["term fell"] == [anomaly.name for anomaly in check_traces(events)]
    events = [lied, *trace_events(1, [_led(3, replica=1), started]), *trace_events(2, [_led(3, replica=2)])]
    assert ["two leaders"] == [anomaly.name for anomaly in check_traces(events)]


def _at(line: str, second: int) -> str:
    """By its node's clock."""
    return json.dumps(json.loads(line) | {"timestamp": f"2026-11-28T03:43:{second:02}Z"})


def _started(term: int, second: int) -> str:
    return _at(_line("replica_started", partition="aa/0", term=term, replica=1), second)


FOLLOWED = _at(_followed(3, replica=1, leader=2), 10)


def test_a_term_that_was_only_followed_may_be_gone_after_a_kill() -> None:
    """It was told before it was on the disk; but not what was known before it, nor after a long time."""
    led = _led(2, replica=1)
    assert [] == _names([led, FOLLOWED, _started(2, 12)])
    assert ["term fell"] == _names([led, FOLLOWED, _started(1, 12)])
    assert ["term fell"] == _names([led, FOLLOWED, _started(2, 50)])
    assert ["term fell"] == _names([led, FOLLOWED, FOLLOWED, _started(2, 12)]), "it was heard before, and is older"


def _ended(second: int, *, node: int = 1) -> Event:
    """The end of a life, with its last line's time."""
    return life_ended(next(trace_events(node, [_at(_line("peer_up"), second)])))


def _named(*parts: list[str] | Event) -> list[str]:
    """What is wrong with node 1's log, of which some events are there already."""
    events = [e for part in parts for e in ([part] if isinstance(part, Event) else trace_events(1, part))]
    return [anomaly.name for anomaly in check_traces(events)]


def test_how_long_a_dead_node_is_down_has_nothing_to_do_with_what_was_on_its_disk() -> None:
    """What counts is how long it lived with that term, and not in which of its later lives it says so."""
    before = [_led(2, replica=1), FOLLOWED]
    assert [] == _named(before, _ended(12), [_started(2, 50)])
    assert [] == _named(before, _ended(12), _ended(45), [_started(2, 50)])
    assert ["term fell"] == _named(before, _ended(40), [_started(2, 41)])
    assert ["term fell"] == _named(before, _ended(12, node=3), [_started(2, 50)])
    assert ["term fell"] == _named(before, _ended(12), [_started(1, 50)])


@pytest.mark.parametrize("name", ["clock_jump", "bandwidth"])
def test_a_clock_that_was_set_does_not_tell_how_long_it_was(name: str) -> None:
    """Its node lived for two seconds with that term, and its clock went back a minute before."""
    value = {"nodes": [1], "options": {}}
    fault = Event(operation=1, process="nemesis", kind=Kind.INVOKE, name=name, time_s=1.0, value=value, scope="nemesis")
    found = _named(fault, [_led(2, replica=1), FOLLOWED], _ended(59), [_started(2, 59)])
    assert ([] if name == "clock_jump" else ["term fell"]) == found


def test_the_quorum_of_the_controller_is_judged_alike() -> None:
    """One leader in a term; terms that do not fall, but on a disk that was wiped, and only from its next start on."""
    elected, started = _line("controller_elected", term=2), _line("controller_started", term=0)
    assert [] == _names([elected], [_line("controller_follows", term=2)], [_line("controller_campaigns", term=1)])
    assert ["two leaders"] == _names([elected], [elected])
    assert ["term fell"] == _names([elected, started])
    assert [] == _names([elected, started], wiped=(1,))
    assert ["term fell"] == _names([elected, _line("controller_follows", term=1), started], wiped=(1,))


def _as_events(logs: list[dict[str, object]]) -> list[Event]:
    """What all nodes of one process have logged; who it was stands in each line."""
    lines: dict[int, list[str]] = {}
    for entry in logs:
        if "term" in entry and "node" in entry:
            lines.setdefault(int(str(entry["node"])), []).append(json.dumps(entry, default=str))
    return [event for node, mine in sorted(lines.items()) for event in trace_events(node, mine)]


async def _nodes_come_and_go() -> None:
    """Whoever leads the partition, and whoever decides for the controller, loses its power and comes back."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    client = cluster.client("c")
    await asyncio.sleep(3)  # of virtual time: they choose a controller
    await client.create_topic("t", partitions=1, replicas=3)
    for number in range(2):
        await client.publish("t", b"%d" % number)
        view = await client.cluster_status()
        node = _leader(cluster) if number % 2 else int(view.controller or 1)
        cluster.crash(node)
        await asyncio.sleep(5)
        await cluster.start(node)
        await asyncio.sleep(5)
    await client.abandon()


def _leader(cluster: SimCluster) -> int:
    """The node that leads the only partition."""
    runs = ((number, run) for number, node in cluster.running.items() for run in node.broker.running.values())
    return next(number for number, run in runs if run.replica.raft.is_leader)


@pytest.mark.slow
def test_what_nodes_log_suffices_and_passes() -> None:
    """Each event that the checker reads is there, with all that it needs, and nothing is wrong."""
    with capture_logs() as logs:
        simulate(_nodes_come_and_go(), 1)
    events = _as_events(logs)
    told = {event.name for event in events if "term" in event.value}
    quorum = {"controller_started", "controller_elected", "controller_campaigns"}
    assert told >= {"leader_elected", "leader_followed", "replica_started"} | quorum
    assert 2 <= len({event.value["term"] for event in events if event.name == "leader_elected"})
    assert [] == check_traces(events)
    taken = next(event for event in events if event.name == "leader_elected")
    other = replace(taken, value=taken.value | {"node": 9, "replica": 99})
    assert ["two leaders"] == [anomaly.name for anomaly in check_traces([*events, other])]
