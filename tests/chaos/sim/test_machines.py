"""Machines of a simulated cluster, as an operator sees them: they come, go, lose their disks and are restarted."""

import asyncio

import pytest

from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.invariants import Violated
from cluster.errors import RiverrunError
from tests.chaos.sim.test_arena import in_an_arena

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_S = 60.0


async def drained_and_removed(arena: SimArena, node: int) -> None:
    """It is none of the cluster any more."""
    client = arena.client("operator")
    async with asyncio.timeout(PATIENCE_S):
        await client.drain_node(node)
        there = True
        while there:
            await asyncio.sleep(0.5)
            try:
                await client.remove_node(node)
            except RiverrunError:
                there = any(known.node == node for known in (await client.cluster_status()).nodes)
            else:
                there = False
    await client.abandon()


def test_a_machine_is_added_and_counts_among_those_that_are_on() -> None:
    """Alive when the call returns, under an id that nobody had."""

    async def work(arena: SimArena) -> None:
        assert 4 == await arena.machines.add()
        assert 5 == await arena.machines.add()
        assert [1, 2, 3, 4, 5] == list(arena.nodes) == list(arena.machines.on)
        client = arena.client("c")
        assert {1, 2, 3, 4, 5} == {node.node for node in (await client.cluster_status()).nodes if node.alive}
        await client.abandon()

    in_an_arena(work)


def test_who_was_removed_ends_by_itself_and_that_is_no_failure() -> None:
    """Nothing starts it again once it was switched off: no fault's end, and no healing."""

    async def work(arena: SimArena) -> None:
        await arena.machines.add()
        mend = await arena.injectors["kill"].inject([1], {})
        assert mend is not None
        await arena.machines.restart(1)
        await drained_and_removed(arena, 1)
        await asyncio.sleep(10.0)
        arena.check()
        assert [1] == arena.cluster.removed
        assert 1 not in arena.cluster.running
        await arena.machines.switch_off(1)
        await mend()
        await arena.heal()
        arena.check()

        assert [2, 3, 4] == sorted(arena.cluster.running) == list(arena.nodes)
        assert ([], []) == await arena.examine([])

    in_an_arena(work)


def test_a_wiped_machine_stays_off_and_its_place_is_taken() -> None:
    """By one that was added, after which the old one is none of the cluster."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=2, replicas=3)
        await client.publish("t", b"x", partition=0)
        await arena.machines.wipe(2)
        new = await arena.machines.add()
        await client.replace_node(2, replacement=new)
        async with asyncio.timeout(PATIENCE_S):
            there = True
            while there:
                await asyncio.sleep(0.5)
                there = any(node.node == 2 for node in (await client.cluster_status()).nodes)
        await arena.heal()
        found, copies = await arena.examine(["t"])

        assert [] == found
        assert {1, 3, 4} == {copy.node for _, copy in copies}
        await client.abandon()

    in_an_arena(work)


def test_a_restart_ends_in_good_order_whatever_a_fault_does_meanwhile() -> None:
    """Who leads hands over first; who was killed is started, and not twice."""

    async def work(arena: SimArena) -> None:
        client = arena.client("c")
        await client.create_topic("t", partitions=6, replicas=3)
        before = arena.cluster.running[2]
        await arena.machines.restart(2)
        assert before is not arena.cluster.running[2]
        assert 0 == arena.machines.stops_forced
        mend = await arena.injectors["kill"].inject([2], {})
        assert mend is not None
        await asyncio.gather(arena.machines.restart(2), mend())
        await arena.injectors["pause"].inject([3], {})
        await arena.machines.restart(3)  # one that stands still is killed, as whoever supervises it would do
        assert 1 == arena.machines.stops_forced
        await arena.heal()
        arena.check()
        assert ([], []) == await arena.examine([])
        await client.abandon()

    in_an_arena(work)


def test_a_node_that_ends_for_another_reason_is_a_failure_still() -> None:
    """A disk that was wiped under a node that goes on under its id."""

    async def work(arena: SimArena) -> None:
        arena.cluster.kill(2)
        arena.cluster.wipe(2)
        await arena.start_node(2)
        await asyncio.sleep(10.0)
        with pytest.raises(Violated, match="node 2 ended by itself"):
            arena.check()

    in_an_arena(work)
