"""The quorum changes by sealing: whoever dies in the middle, nothing acknowledged is lost, and there is one quorum."""

import asyncio
import random

import msgspec
import pytest

from cluster.controller.commands import CreateTopic, Proposal, decode_answer, encode
from cluster.controller.quorum import between
from cluster.controller.quorum.configurations import Quorums
from cluster.controller.quorum.following import Following
from cluster.controller.quorum.serving import pieces_of
from cluster.controller.state import MetadataState
from cluster.errors import RiverrunError
from cluster.types import NodeId
from tests.controller.quorum.members import HandClock
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


async def test_the_state_that_a_journal_begins_with_is_not_what_it_replays():
    """Else a large one would be sealed again at once, and again, and nothing else be decided."""
    nodes = Nodes(count=3)
    await nodes.form()
    topic = CreateTopic(name="t", id=b"t" * 16, placements=[[1]] * 2_000, replicas=1, if_absent=False)
    await nodes.done(nodes.proposal(topic))
    assert nodes.running[ONE].weight()[1] > 4_000
    await nodes.done(nodes.sealing([ONE, TWO, THREE]))
    await settled(nodes)
    assert len(nodes.folds[ONE].encode()) > 100_000
    assert nodes.running[ONE].weight()[1] < 4_000


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


async def test_a_node_that_starts_again_is_not_given_the_answers_of_the_run_before():
    """Passed on before and after under the same number: each is told what became of its own proposal."""
    nodes = Nodes(count=4)
    await nodes.form()

    def passed_on(proposal: Proposal) -> asyncio.Future[bytes]:
        nodes.power_loss(FOUR)
        nodes.start(FOUR)
        nodes.step(8)
        return asyncio.ensure_future(nodes.running[FOUR].propose(encode(proposal), timeout_s=60))

    async def pass_time(steps: int) -> None:
        for _ in range(steps):
            nodes.step()
            await asyncio.sleep(0)

    first, second = nodes.topic(), nodes.topic()
    given_up = passed_on(first)
    nodes.allow = lambda one, other: FOUR in {one, other}  # nothing is decided for a moment
    await pass_time(3)
    asked = passed_on(second)
    await pass_time(3)
    nodes.allow = lambda _one, _other: True
    await pass_time(100)
    assert isinstance(second.command, CreateTopic)
    assert second.command.id == decode_answer(await asked).topic
    given_up.cancel()


async def test_a_state_is_put_together_from_one_nodes_pieces():
    """Several send it, and a node of another version encodes it otherwise."""
    nodes = Nodes(count=4)
    await nodes.form()
    for _ in range(20):
        await nodes.done(nodes.topic())
    await settled(nodes)
    nodes.allow = lambda one, other: FOUR not in {one, other}
    await nodes.done(nodes.sealing([TWO, THREE, FOUR]))
    nodes.step(50)
    beginning, four = nodes.running[TWO]._beginning, nodes.running[FOUR]
    assert beginning is not None
    four.receive(TWO, 0, between.encode(between.here(beginning.configuration, formed=False)))
    version, plain = msgspec.msgpack.decode(beginning.state)
    other = msgspec.msgpack.encode((version, {"of_a_later_version": "", **plain}))
    one, another = pieces_of(2, beginning.state, 700), pieces_of(2, other, 700)
    assert len(one) == len(another) > 2
    for mine, its in zip(one, another, strict=True):
        four.receive(TWO, 0, between.encode(mine))
        four.receive(THREE, 0, between.encode(its))
    assert 20 == len(names(nodes, FOUR))
    assert 2 == four._number()


def test_pieces_of_two_members_make_no_state():
    """Who leaves a member and returns to it begins anew, whatever is still under way from there."""
    clock, asked = HandClock(), []
    following = Following(clock, FOUR, lambda node, _: not asked.append(node))
    first, again = (list(pieces_of(0, content, 1)) for content in (b"abc", b"xyz"))

    def silence() -> NodeId:
        clock.now_s += 2
        following.tick([ONE, TWO], 0)
        return asked[-1]

    one = silence()
    assert [None, None] == [following.piece(one, piece) for piece in first[:2]]
    other = silence()
    assert other != one
    assert [None, None] == [following.piece(other, piece) for piece in again[:2]]
    assert one == silence()
    assert following.piece(one, first[2]) is None
    assert [None, None, b"abc"] == [following.piece(one, piece) for piece in first]


async def test_a_full_disk_ends_no_member():
    """It starts without writing, waits with what a seal has it write, and goes on when there is room."""
    nodes = Nodes(count=4)
    await nodes.form()
    for node in (TWO, FOUR):
        nodes.power_loss(node)
        nodes.disks[node].capacity_bytes = 0
        nodes.start(node)
    await nodes.done(nodes.topic())
    await nodes.done(nodes.sealing([ONE, TWO, THREE]))
    nodes.step(100)
    await nodes.done(nodes.topic())
    nodes.power_loss(TWO)
    nodes.start(TWO)
    nodes.step(100)
    assert ({}, [1]) == (nodes.refused, nodes.running[TWO]._storage.journals())
    nodes.disks[TWO].capacity_bytes = 1 << 40
    nodes.step(200)
    await settled(nodes)
    assert [2] == nodes.running[TWO]._storage.journals()
    assert [2] * 4 == [len(names(nodes, node)) for node in nodes.nodes]


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
