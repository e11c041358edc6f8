"""The quorum changes by sealing: whoever dies in the middle, nothing acknowledged is lost, and there is one quorum."""

import random

import pytest

from cluster.controller.commands import CreateTopic
from cluster.controller.quorum.configurations import Quorums
from cluster.controller.state import MetadataState
from cluster.errors import RiverrunError
from cluster.types import NodeId
from tests.controller.quorum.nodes import Nodes

ONE, TWO, THREE, FOUR, FIVE, SIX = map(NodeId, range(1, 7))


def names(nodes: Nodes, node: NodeId) -> set[str]:
    """The topics in a node's fold."""
    return set(nodes.folds[node].state.by_name)


async def settled(nodes: Nodes) -> None:
    """All folds are as far as each other."""
    for _ in range(100):
        nodes.step(10)
        if len({nodes.folds[node].state.applied for node in nodes.running}) == 1:
            return
    raise AssertionError({node: nodes.folds[node].state.applied for node in nodes.running})


async def test_a_node_without_a_seat_has_the_same_state():
    """It follows a member, proposes through it, and goes on when that member is gone."""
    nodes = Nodes(count=4)
    await nodes.form()
    first, second = nodes.topic(), nodes.topic()
    assert isinstance(await nodes.propose(FOUR, first), bytes)
    await settled(nodes)
    assert names(nodes, FOUR) == names(nodes, ONE) != set()
    nodes.power_loss(nodes.running[FOUR]._following._member or ONE)
    nodes.step(200)
    await nodes.done(second)
    await settled(nodes)
    left = next(iter(nodes.running))
    assert names(nodes, FOUR) == names(nodes, left)
    assert 2 == len(names(nodes, FOUR))


async def test_a_node_that_was_away_for_long_gets_the_whole_state():
    """More commands than a member keeps: pieces of the state, then what comes after it."""
    nodes = Nodes(count=4)
    await nodes.form()
    nodes.power_loss(FOUR)
    for _ in range(60):
        await nodes.done(nodes.topic())
    nodes.start(FOUR)
    await settled(nodes)
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert names(nodes, FOUR) == names(nodes, ONE)
    assert 61 == len(names(nodes, FOUR))


async def test_a_member_is_replaced_by_a_node_that_followed():
    """The new one takes its part with the state at the seal; the old one follows; old journals go."""
    nodes = Nodes(count=4)
    await nodes.form()
    await nodes.done(nodes.topic())
    await nodes.done(nodes.sealing([TWO, THREE, FOUR]))
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert {2} == {quorums._known.number for quorums in nodes.running.values()}
    assert [[], [2], [2], [2]] == [nodes.running[node]._storage.journals() for node in nodes.nodes]
    nodes.power_loss(TWO)
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert names(nodes, ONE) == names(nodes, FOUR)
    assert 3 == len(names(nodes, FOUR))


async def test_a_seal_to_the_same_members_bounds_what_a_start_replays():
    """The journal begins anew with the state, which all have after a restart of all."""
    nodes = Nodes(count=3)
    await nodes.form()
    for _ in range(20):
        await nodes.done(nodes.topic())
    before = nodes.running[ONE].weight()[0]
    await nodes.done(nodes.sealing([ONE, TWO, THREE]))
    await settled(nodes)
    assert before > 20
    assert nodes.running[ONE].weight()[0] < 5
    for node in nodes.nodes:
        nodes.power_loss(node)
    for node in nodes.nodes:
        nodes.start(node)
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert [21] * 3 == [len(names(nodes, node)) for node in nodes.nodes]


async def test_members_that_are_all_new_get_the_state_from_those_that_were():
    """One member hands over to three that hear of it late: it keeps the state for them until they have agreed."""
    nodes = Nodes(count=4, first=1)
    await nodes.form()
    await nodes.done(nodes.topic())
    nodes.allow = lambda one, other: ONE in {one, other} and SIX not in {one, other} and {one, other} != {ONE, FOUR}
    await nodes.propose(ONE, nodes.sealing([TWO, THREE, FOUR]))
    nodes.step(50)
    assert 2 in nodes.running[ONE]._storage.journals()
    nodes.allow = lambda _one, _other: True
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert [] == nodes.running[ONE]._storage.journals()
    assert 2 == len(names(nodes, ONE))


async def test_a_wiped_member_is_turned_away():
    """It asks for the state of its seat with another directory, and must not run; it is told what to do."""
    nodes = Nodes(count=3)
    await nodes.form()
    await nodes.done(nodes.sealing([ONE, TWO, THREE]))
    await settled(nodes)
    nodes.wipe(TWO)
    nodes.start(TWO)
    nodes.step(100)
    assert "riverrun cluster replace 2 --with NEW" in nodes.refused[TWO]


async def swarm(seed: int, nodes_class: type[Nodes] = Nodes) -> int:
    """Seals, kills at any disk operation, cuts, restarts; then every acknowledged topic is in every fold. The seals."""
    chance = random.Random(seed)
    nodes = nodes_class(count=chance.choice((4, 5, 6)), first=chance.choice((1, 3, 3)), seed=seed)
    await nodes.form()
    acknowledged: set[str] = set()
    for _ in range(chance.randint(8, 16)):
        down = [node for node in nodes.nodes if node not in nodes.running]
        action = chance.random()
        if action < 0.3:
            members = chance.sample(nodes.nodes, chance.choice((1, 3, 3, 3)))
            proposal = nodes.sealing(sorted(members))
        else:
            proposal = nodes.topic()
        if chance.random() < 0.4 and len(down) < 2:
            victim = chance.choice(list(nodes.running))
            nodes.disks[victim].crash_at_operation = nodes.disks[victim].operations + chance.randint(1, 25)
        if chance.random() < 0.2:
            cut = chance.choice(nodes.nodes)
            nodes.allow = lambda one, other, cut=cut: cut not in {one, other}
        if nodes.running:
            asked = [proposal, nodes.topic()]  # the second stands right behind the first one in the log, maybe a seal
            steps = chance.choice((5, 60, 120))
            answers = await nodes.propose_all(chance.choice(list(nodes.running)), asked, steps=steps)
            for one, answer in zip(asked, answers, strict=True):
                if isinstance(answer, bytes) and isinstance(one.command, CreateTopic):
                    acknowledged.add(one.command.name)
        if chance.random() < 0.5:
            nodes.allow = lambda _one, _other: True
        for node in down:
            if chance.random() < 0.7:
                nodes.disks[node].crash_at_operation = None
                nodes.start(node)
    nodes.allow = lambda _one, _other: True
    for node in nodes.nodes:
        nodes.disks[node].crash_at_operation = None
        if node not in nodes.running:
            nodes.start(node)
    await nodes.done(nodes.topic())
    await settled(nodes)
    assert {} == nodes.refused
    states = [sorted(names(nodes, node)) for node in nodes.nodes]
    assert [states[0]] * len(states) == states, "all folds are the same"
    assert set() == acknowledged - set(states[0]), "nothing acknowledged is lost"
    return nodes.folds[ONE].state.quorum.number - 1


class AppliesBehindTheSeal(Quorums):
    """A planted bug: the seal is not the last command."""

    def _apply_in(self, number: int, command: bytes) -> bytes:
        return super()._apply_in(number, command) or self._take(command)


class BeginsWithoutTheState(Quorums):
    """A planted bug: a new member takes its seat with nothing."""

    def _fetch(self) -> None:
        if self._has_seat(self._known) and self._known.number > 1:
            state = MetadataState()
            state.quorum = self._known
            self._install(state.encode())


@pytest.mark.slow
@pytest.mark.parametrize("bug", [AppliesBehindTheSeal, BeginsWithoutTheState])
async def test_planted_bugs_are_found(bug: type[Quorums]):
    """The seeds would notice."""

    class Buggy(Nodes):
        quorums_class = bug

    for seed in range(60):
        try:
            await swarm(seed, Buggy)
        except (AssertionError, RiverrunError):
            return
    raise AssertionError("no seed has found it")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
async def test_seeds(block: int):
    """Each seed is another run of seals and crashes."""
    assert 20 < sum([await swarm(block * 25 + seed) for seed in range(25)])
