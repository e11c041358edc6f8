"""A member that comes back with an empty disk does not vote as if it had never voted."""

import asyncio
import random

import pytest

from cluster.controller.commands import Proposal, RegisterNode, encode
from cluster.errors import RefusedToStart
from cluster.sim.disk import SimDisk
from cluster.types import NodeId
from tests.controller.quorum.members import Members, command


def _registration(node: NodeId) -> bytes:
    register = RegisterNode(node=node, client_address="", peer_address="", version="", rack="")
    return encode(Proposal(client=b"r" * 8, number=node, command=register))


async def _formed(count: int = 3) -> Members:
    """All have registered, as nodes do."""
    members = Members(count)
    for node in members.nodes:
        await _propose(members, _registration(node))
    return members


async def _propose(members: Members, data: bytes) -> None:
    for _ in range(500):
        members.step()
        leader = next((node for node, quorum in members.running.items() if quorum.is_leader()), None)
        if leader is not None:
            break
    assert leader is not None, "there is a leader within ten seconds"
    asking = asyncio.create_task(members.running[leader].propose(data, timeout_s=10.0))
    for _ in range(500):
        await asyncio.sleep(0)
        members.step()
        if asking.done():
            break
    await asking


def _wipe(members: Members, node: NodeId) -> None:
    members.power_loss(node)
    members.disks[node] = SimDisk(random.Random(7))


async def test_a_wiped_member_does_not_elect_one_that_lags():
    """It and another had acknowledged a command; the third lacks it, and gets no majority with its help."""
    members = await _formed()
    one, two, three = members.nodes
    members.power_loss(three)
    await _propose(members, command(1))
    members.power_loss(two)
    _wipe(members, one)
    members.start(one)
    members.start(three)
    with pytest.raises(RefusedToStart, match=r"data directory is empty, but node 3 knows node 1"):
        members.step(200)
    assert not members.running[three].is_leader()
    members.power_loss(one)
    members.start(two)
    members.step(200)
    assert members.applied[three][-1] == command(1), "nothing acknowledged was lost"


async def test_members_that_are_new_wait_for_each_other():
    """Two of three do not know whether the third knows them; when it is there they begin."""
    members = Members(3)
    third = members.nodes[2]
    members.power_loss(third)
    members.step(200)
    assert not any(quorum.is_leader() for quorum in members.running.values())
    members.start(third)
    await _propose(members, command(1))


async def test_a_new_member_that_nobody_knows_takes_part_later():
    """Four of five have formed the cluster; the fifth, that never was there, votes when it comes."""
    members = Members(5)
    last = members.nodes[4]
    members.power_loss(last)
    for node in members.nodes[:4]:
        await _propose(members, _registration(node))
    members.start(last)
    members.step(50)
    for node in members.nodes[:2]:
        members.power_loss(node)
    await _propose(members, command(1))
    assert members.applied[last][-1] == command(1)


async def test_a_member_that_had_only_just_begun_may_begin_again():
    """It lost its power before it was registered, with a term on its disk or without: it takes part again."""
    members = Members(3)
    first = members.nodes[0]
    for steps in (0, 5, 60):
        members.step(steps)
        members.power_loss(first)
        members.start(first)
    await _propose(members, command(1))


async def test_a_single_member_asks_nobody():
    """There is nobody who could know better."""
    await _propose(Members(1), command(1))
