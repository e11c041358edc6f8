"""The simulated arena: what its faults do, who is what, and that it sees what is wrong."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from chaos.arenas.arena import Choosing, HitNobody
from chaos.arenas.sim.arena import SIM_FAULTS, SimArena
from chaos.arenas.sim.cluster import CheckedCluster
from chaos.arenas.sim.invariants import Violated
from chaos.history import History
from chaos.nemeses import known
from chaos.nemeses.catalogue import CATALOGUE
from chaos.workloads.groups import GroupsWorkload
from cluster.client.client import Client
from cluster.sim.clock import SimLoop, simulate


def in_an_arena(work: Callable[[SimArena], Awaitable[None]], *, seed: int = 1, nodes: int = 3) -> None:
    """The work, on a cluster that has started, in virtual time."""

    async def run() -> None:
        arena = SimArena.make(seed, nodes=nodes)
        await arena.start()
        await work(arena)

    simulate(run(), seed)


def test_all_faults_have_names_of_the_catalogue() -> None:
    """So that a schedule can be carried out here."""
    arena = SimArena(CheckedCluster(SimLoop(1)), random.Random(1))

    assert known.__all__
    assert set(SIM_FAULTS) == arena.injectors.keys()
    assert set(SIM_FAULTS) <= CATALOGUE.keys()
    arena.cluster.loop.close()


def test_it_has_started_when_every_node_knows_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario `changes`, seed 205: the node that was asked did; another one refused to place three replicas on two."""

    async def at_once(_arena: SimArena, _client: Client) -> None:
        """As if whoever is asked first knew everything."""

    async def work(arena: SimArena) -> None:
        for node in arena.cluster.running.values():
            assert {1, 2, 3} == {item.node for item in node.controller.state.nodes.values() if item.usable}

    monkeypatch.setattr(SimArena, "ready", at_once)
    in_an_arena(work)


@pytest.mark.slow
def test_every_fault_is_survived() -> None:
    """One after the other, mended, under load: progress at the end, equal replicas, and no anomaly."""

    async def work(arena: SimArena) -> None:
        load = GroupsWorkload(arena, History(), {"think_s": 2.0, "members": 1, "partitions": 2, "producers": 2})
        await load.prepare()
        running = asyncio.create_task(load.run())
        chance = random.Random(3)
        for name, injector in arena.injectors.items():
            assert "" == injector.missing()
            nodes = arena.nodes if name == "power_loss_all" else [chance.choice(arena.nodes)]
            options = {"operations": 5} if name == "power_loss" else CATALOGUE[name].draw(chance)
            mend = await injector.inject(nodes, options)
            await asyncio.sleep(1.0)
            if mend is not None:
                await mend()
            arena.check()
        await arena.heal()
        before = load.load.counts["acknowledged"]
        await asyncio.sleep(5.0)
        assert load.load.counts["acknowledged"] > before
        load.stop()
        await running
        await load.finish()

        assert [] == (await arena.examine(load.topics))[0]
        assert [] == load.judge(load.load.history.events, load.load.plan.to_options())
        figures = await arena.stop()
        assert figures.counts["restart"] >= 6
        assert figures.counts["elections"] > 3

    in_an_arena(work)


@pytest.mark.slow
def test_who_was_killed_has_written_what_it_wrote_and_who_lost_power_has_not() -> None:
    """What was not synced is what tells the two apart."""

    async def work(arena: SimArena) -> None:
        for fault, survives in (("kill", True), ("power_loss", False)):
            disk = arena.cluster.disks[2]
            disk.torn = False
            disk.open(f"new-{fault}", create=True).write(0, [b"not synced"])
            mend = await arena.injectors[fault].inject([2], {})
            assert [1, 3] == sorted(arena.cluster.running)
            there = f"new-{fault}" in disk.paths() and disk.size_of(f"new-{fault}") > 0
            assert there or not survives
            assert mend is not None
            await mend()
            assert [1, 2, 3] == sorted(arena.cluster.running)
            assert await arena.injectors[fault].inject([], {}) is None

    in_an_arena(work)


@pytest.mark.slow
def test_who_does_not_run_is_not_hit() -> None:
    """By what ends a process, or holds it."""

    async def work(arena: SimArena) -> None:
        await arena.injectors["kill"].inject([2], {})
        for fault in ("kill", "power_loss", "pause", "clock_jump", "flip_bit"):
            injector = arena.injectors[fault]
            assert isinstance(injector, Choosing)
            assert [] == injector.whom([2]), fault
        await arena.heal()

    in_an_arena(work)


def test_where_nobody_sits_no_client_vanishes() -> None:
    """And it says so."""

    async def work(arena: SimArena) -> None:
        with pytest.raises(HitNobody, match="no client has a seat"):
            await arena.injectors["client_vanish"].inject([], {"seat": 0.5})

    in_an_arena(work)


@pytest.mark.slow
def test_a_paused_node_does_nothing_until_it_is_mended() -> None:
    """Others lead meanwhile; then it goes on, with what has arrived."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=6, replicas=3)
        leader = (await arena.roles()).leaders["t", 0]
        replicas = arena.cluster.running[leader].broker.running
        commits = {place: running.replica.raft.commit for place, running in replicas.items()}
        mend = await arena.injectors["pause"].inject([leader], {})
        await asyncio.sleep(10.0)
        await client.publish("t", b"x", partition=0)

        assert commits == {place: running.replica.raft.commit for place, running in replicas.items()}
        roles = await arena.roles()
        assert roles.leaders["t", 0] in {leader, *arena.nodes}
        assert mend is not None
        await mend()
        await arena.heal()
        assert ([], []) == await arena.examine([])
        assert leader != (await arena.roles()).leaders["t", 0]
        await client.abandon()

    in_an_arena(work)


@pytest.mark.slow
def test_a_link_that_two_faults_cut_is_whole_when_both_are_over() -> None:
    """Mending one of them is not enough."""

    async def work(arena: SimArena) -> None:
        fabric, cut = arena.cluster.fabric, ("node-1", "node-2")
        isolated = await arena.injectors["partition_one"].inject([1], {"grouping": 1})
        link = await arena.injectors["cut_one_way"].inject([1], {"grouping": 1, "direction": "from", "one": False})
        assert isolated is not None
        assert link is not None
        await isolated()
        assert cut in fabric.cuts
        assert ("node-2", "node-1") not in fabric.cuts
        await link()
        assert {} == fabric.cuts

    in_an_arena(work)


@pytest.mark.slow
def test_damage_hits_one_node_of_a_run() -> None:
    """Whoever is asked for later: two damaged ones are a majority."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=1, replicas=3)
        for number in range(30):
            await client.publish("t", b"%d" % number * 20)
        for fault, node in (("flip_bit", 2), ("truncate_file", 1), ("flip_bit", 3)):
            injector = arena.injectors[fault]
            assert isinstance(injector, Choosing)
            assert [2] == injector.whom([node])
            mend = await injector.inject([node], {"file": 0.5, "place": 0.9})
            assert [1, 3] == sorted(arena.cluster.running)
            assert mend is not None
            await mend()
            await arena.heal()
        assert ([], []) == await arena.examine([])
        assert {30} == {end.end for end in (await client.offsets("t")).values()}
        await client.abandon()

    in_an_arena(work)


@pytest.mark.slow
def test_roles_are_found_out() -> None:
    """Who leads which partition, who is the controller, who coordinates which group."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=2, replicas=3)
        await client.publish("t", b"x")
        subscription = client.subscribe("t", group="g")
        await anext(subscription)
        roles = await arena.roles()

        assert {("t", 0), ("t", 1)} <= roles.leaders.keys()
        assert roles.controller in arena.nodes
        assert ["g"] == list(roles.coordinators)
        described = await client.describe_topic("t")
        assert [part.leader for part in described.partitions] == [roles.leaders["t", number] for number in (0, 1)]
        await arena.injectors["kill"].inject([2], {})
        assert [1, 3] == (await arena.roles()).alive
        await client.abandon()

    in_an_arena(work)


@pytest.mark.slow
def test_what_is_wrong_is_seen() -> None:
    """A replica that stays behind, a broken invariant, a node that ended by itself."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=1, replicas=3)
        leader = (await arena.roles()).leaders["t", 0]
        other = next(node for node in arena.nodes if node != leader)
        await arena.injectors["partition_one"].inject([other], {"grouping": 1})
        await client.publish("t", b"x")
        found, _ = await arena.examine([])

        assert ["replicas differ"] == [anomaly.name for anomaly in found]
        arena.check()
        arena.cluster.fatal.append((1, RuntimeError("why")))
        with pytest.raises(Violated, match="node 1 ended by itself"):
            arena.check()
        arena.cluster.fatal.clear()
        arena.cluster.invariants.broken.append("two leaders")
        with pytest.raises(Violated, match="two leaders"):
            arena.check()
        await client.abandon()

    in_an_arena(work)
