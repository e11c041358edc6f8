"""Members whose disk has no room: they say and lead nothing, keep nothing for later, and come back by themselves."""

import asyncio

import pytest
from structlog.testing import capture_logs

from cluster.controller.quorum.guards import wrap
from cluster.errors import RiverrunError, Unavailable
from cluster.types import NodeId
from tests.controller.quorum.members import Members, command
from tests.controller.quorum.test_holes import agreed


async def test_a_full_disk_silences_a_member_and_room_brings_it_back():
    """It says nothing that it has not written, and does not end its node."""
    members, leader = await agreed(1)
    full = next(node for node in members.nodes if node != leader)
    members.disks[full].capacity_bytes = 0
    for number in range(20):
        assert b"done" == await members.propose(leader, command(200 + number, size=500))
    assert len(members.applied[full]) < 21
    members.disks[full].capacity_bytes = 1 << 40
    members.step(100)
    assert 21 == len(members.applied[full])


async def test_a_leader_whose_disk_is_full_is_replaced():
    """It falls silent, so the others choose another."""
    members, leader = await agreed(1)
    members.disks[leader].capacity_bytes = 0
    other = next(node for node in members.nodes if node != leader)
    answer: bytes | RiverrunError = Unavailable("")
    for number in range(20):
        members.step(20)
        answer = await members.propose(other, command(300 + number))
        if answer == b"done":
            break
    assert b"done" == answer


async def _full_leader_of_a_newer_term(members: Members, leader: NodeId) -> None:
    """The leader's disk is full and its journal waits; then another one campaigns, and it has heard of that."""
    term = members.core(leader).raftCurrentTerm
    members.disks[leader].capacity_bytes = 0
    waiting = asyncio.ensure_future(members.running[leader].propose(command(400, size=20_000), timeout_s=60))
    await asyncio.sleep(0)
    for _ in range(500):
        members.step()
        if members.core(leader).raftCurrentTerm > term:
            break
    waiting.cancel()
    assert term < members.core(leader).raftCurrentTerm


async def test_a_leader_whose_disk_is_full_leads_in_no_later_term():
    """Alone it takes over the newer term first, and if that cannot be written goes on leading, in that one."""
    members, leader = await agreed(1)
    await _full_leader_of_a_newer_term(members, leader)
    assert not members.running[leader].is_leader()
    others = [node for node in members.nodes if node != leader]
    while not any(members.running[node].is_leader() for node in others):
        members.step()
    other = next(node for node in others if members.running[node].is_leader())
    members.allow = lambda sender, to: {sender, to} != {leader, other}
    members.disks[leader].capacity_bytes = 1 << 40
    leaders: dict[int, NodeId] = {}
    acknowledged = [command(0)]
    for number in range(401, 406):
        for node, quorum in members.running.items():
            if quorum.is_leader():
                led = members.core(node).raftCurrentTerm
                assert node == leaders.setdefault(led, node), f"two leaders in term {led}"
        if b"done" == await members.propose(other, command(number)):
            acknowledged.append(command(number))
        members.step(20)
    members.allow = lambda _sender, _to: True
    members.step(100)
    assert len(acknowledged) > 1
    for applied in members.applied.values():
        assert acknowledged == [done for done in applied if done in acknowledged]


async def test_what_is_proposed_at_a_member_with_a_full_disk_is_not_decided_later():
    """It was kept, and proposed when there was room, hours later, by when the answer that it had had is forgotten."""
    members, leader = await agreed(1)
    full = next(node for node in members.nodes if node != leader)
    members.disks[full].capacity_bytes = 0
    assert b"done" == await members.propose(leader, command(500, size=20_000))
    members.step(20)
    with capture_logs() as logs:
        with pytest.raises(Unavailable, match="no room"):
            await members.running[full].propose(command(501), timeout_s=1)
        members.step(20)
    assert [] == logs
    members.disks[full].capacity_bytes = 1 << 40
    members.step(200)
    assert {2} == {len(applied) for applied in members.applied.values()}


async def test_what_waits_at_a_member_when_its_disk_fills_is_refused():
    """Its own callers are told that nothing was done; who asked from another member is left to its timeout."""
    members, leader = await agreed(1)
    full = next(node for node in members.nodes if node != leader)
    members.disks[full].capacity_bytes = 0
    asked = asyncio.ensure_future(members.running[leader].propose(command(500, size=20_000), timeout_s=60))
    waiting = asyncio.ensure_future(members.running[full].propose(command(501), timeout_s=60))
    await asyncio.sleep(0)
    members.inject(leader, full, {"type": "apply_command", "command": b"\0" + wrap(command(502)), "request_id": 7})
    members.running[leader].tick()
    with capture_logs() as logs:
        for body in members.mail[leader, full]:
            members.running[full].receive(leader, body)
        members.step(20)
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="no room"):
        await asyncio.wait_for(waiting, 1)
    assert 1 == len([entry for entry in logs if entry["event"] == "controller_disk_full"])
    members.disks[full].capacity_bytes = 1 << 40
    members.step(200)
    assert b"done" == await asked
    assert {2} == {len(applied) for applied in members.applied.values()}


@pytest.mark.parametrize("leads", [False, True])
@pytest.mark.parametrize("way", ["end", "stop"])
async def test_a_member_with_a_full_disk_ends_like_any_other(way: str, *, leads: bool):
    """Its node ended with an error, or stayed between two configurations."""
    members, leader = await agreed(1)
    full = next(node for node in members.nodes if (node == leader) is leads)
    members.disks[full].capacity_bytes = 0
    asked = asyncio.ensure_future(members.running[leader].propose(command(600, size=20_000), timeout_s=60))
    await asyncio.sleep(0)
    members.step(20)
    asked.cancel()
    assert members.running[full]._journal.full
    assert leads is members.running[full].is_leader()
    getattr(members.running[full], way)()
    assert not members.disks[full].in_use
