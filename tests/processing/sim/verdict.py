"""What must hold at the end of a seed: every record's effect exactly once, in state and at one destination, in order.

By harm, not by the rules: what was committed is taken from the log as it was, and from the destinations; that a rule
refused something is nobody's business here.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.processing.commit import TaskCommit, decode
from cluster.processing.ledger import Accepted, Ledger, Refused
from cluster.types import PartitionId
from tests.processing.sim.task import STORE, Value

if TYPE_CHECKING:
    from tests.processing.sim.world import World


def judge(world: "World") -> None:
    """AssertionError says what was wrong."""
    ledger, accepted = replay(world)
    state = _state(accepted)
    _check_chain(accepted)
    _check_nodes(world, ledger, state)
    _check_state(world, ledger, state)
    _check_timers(world, accepted)
    _check_destinations(world, ledger, accepted)


def replay(world: "World") -> tuple[Ledger, list[TaskCommit]]:
    """The whole log from its first entry, and the commits that counted."""
    ledger, accepted = world.rules.ledger(), []
    for item in world.group.committed:
        if not item.command:
            continue
        verdict = ledger.apply(item.command, item.index, item.term)
        command = decode(item.command)
        if isinstance(verdict, Refused):
            of_begin = not isinstance(command, TaskCommit)
            world.counts["begun_again_refused" if of_begin else f"refused_by_{verdict.rule}"] += 1
        elif isinstance(command, TaskCommit):
            assert isinstance(verdict, Accepted)
            accepted.append(command)
            world.counts["commits_accepted"] += 1
            world.counts["timers_fired"] += len(command.fired)
    return ledger, accepted


def _state(accepted: list[TaskCommit]) -> dict[bytes, bytes]:
    state: dict[bytes, bytes] = {}
    for commit in accepted:
        for change in commit.state:
            assert change.value is not None
            state[change.key] = change.value
    return state


def _check_chain(accepted: list[TaskCommit]) -> None:
    """Every value of state was computed from the committed one before it."""
    last: dict[bytes, int] = {}
    for commit in accepted:
        for change in commit.state:
            _, _, chance, before = msgspec.msgpack.decode(change.value or b"", type=Value)
            known = last.get(change.key, 0)
            assert known == before, f"commit {commit.n} computed {change.key!r} from a value that was never committed"
            last[change.key] = chance


def _check_nodes(world: "World", ledger: Ledger, state: dict[bytes, bytes]) -> None:
    """All replicas have the same ledger and the same state."""
    for node in world.nodes:
        assert node.applying.ledger.encode() == ledger.encode(), f"node {node.replica.number} has another ledger"
        rows = dict(node.store.scan(STORE, b"", limit=1_000_000))
        assert rows == state, f"node {node.replica.number} has another state"


def _check_state(world: "World", ledger: Ledger, state: dict[bytes, bytes]) -> None:
    """Every record counts once for its key."""
    expected: Counter[bytes] = Counter()
    for partition, keys in world.inputs.items():
        assert partition not in world.readable or ledger.positions[partition] == len(keys)
        expected.update(b"%d" % key for key in keys[: ledger.positions[partition]])
    found = {key: msgspec.msgpack.decode(value, type=Value)[0] for key, value in state.items()}
    assert dict(expected) == {key: count for key, count in found.items() if count}, (
        "records are counted wrongly in state"
    )


def _check_timers(world: "World", accepted: list[TaskCommit]) -> None:
    """Every timer that was set, and not deleted, fired once: in the log, and in what destinations were told."""
    wanted: dict[str, int] = {}
    emitted: Counter[str] = Counter()
    fired: Counter[str] = Counter()
    for commit in accepted:
        fired.update(timer.name for timer in commit.fired)
        for timer in commit.timers:
            wanted[timer.name] = 0 if timer.at_ns is None else 1
        for output in commit.outputs:
            records: list[list[Any]] = msgspec.msgpack.decode(output.payload)
            emitted.update(record[1] for record in records if record[0] == "timer")
    once = {name for name, count in wanted.items() if count}
    told = fired if world.mix.quiet else emitted
    assert once == set(fired) == set(told), "timers were lost, or fired although they were deleted"
    twice = [name for name in once if fired[name] != 1 or told[name] != 1]
    assert not twice, f"timers fired twice: {twice}"


def _check_destinations(world: "World", ledger: Ledger, accepted: list[TaskCommit]) -> None:
    """What a destination holds is what commits say, in their order; every record was told once, in all, in order."""
    told: dict[PartitionId, list[list[Any]]] = {partition: [] for partition in world.destinations}
    for commit in accepted:
        for output in commit.outputs:
            told[output.destination] += msgspec.msgpack.decode(output.payload)
    once: Counter[tuple[bytes, int]] = Counter()
    for partition, destination in world.destinations.items():
        records = told[partition] if destination.deleted else destination.records()
        once.update((record[1], record[2]) for record in records if record[0] == "record" and record[3] == 0)
        _check_order(partition, records)
        if not destination.deleted:
            _compare(partition, told[partition], records)
    expected = Counter(
        (partition.topic, offset) for partition in world.inputs for offset in range(ledger.positions[partition])
    )
    assert expected == once, "records were told wrongly to destinations: " + _difference(expected, once)
    for partition, destination in world.made_anew.items():
        assert not destination.entries, f"outputs for {partition} went to the topic that was made anew"


def _compare(partition: PartitionId, told: list[list[Any]], records: list[list[Any]]) -> None:
    if told != records:
        what = "lost" if len(records) < len(told) else "doubled" if len(records) > len(told) else "changed"
        raise AssertionError(f"outputs for {partition} were {what}: {len(records)} of {len(told)}")


def _check_order(partition: PartitionId, records: list[list[Any]]) -> None:
    last: dict[bytes, int] = {}
    for record in records:
        if record[0] == "record":
            assert last.get(record[1], 0) <= record[2], f"{partition} has outputs of an input out of order"
            last[record[1]] = record[2]


def _difference(expected: Counter[tuple[bytes, int]], found: Counter[tuple[bytes, int]]) -> str:
    return f"{len(expected - found)} lost, {sum((found - expected).values())} too many"
