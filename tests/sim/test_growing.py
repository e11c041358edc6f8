"""A cluster grows under load: nodes join, the controller's quorum with them, a member that is gone loses its seat."""

import asyncio
import random

import pytest

from cluster.cli.cluster import _drained
from cluster.client.client import Client
from cluster.errors import NodeInUse, RiverrunError
from cluster.sim.clock import Host, SimClock, SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.sim.network import SimNetwork
from cluster.types import NodeId

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _seats(cluster: SimCluster) -> set[tuple[int, ...]]:
    """Who decides, as each running node sees it."""
    return {tuple(node.controller.state.quorum.members) for node in cluster.running.values()}


async def _until_seats(cluster: SimCluster, members: tuple[int, ...], within_s: float = 30.0) -> None:
    for _ in range(int(within_s * 10)):
        if _seats(cluster) == {members}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the seats are {_seats(cluster)}, not {members}")


async def _make_topics(cluster: SimCluster, made: list[str], stop: asyncio.Event) -> None:
    client = cluster.client("maker")
    number = 0
    while not stop.is_set():
        number += 1
        try:
            await client.create_topic(f"t{number}", partitions=1, replicas=3)
        except RiverrunError:
            continue
        made.append(f"t{number}")
        await client.publish(f"t{number}", b"x")
        await asyncio.sleep(1)
    await client.abandon()


async def _grows() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    await asyncio.sleep(3)
    made: list[str] = []
    stop = asyncio.Event()
    making = asyncio.create_task(_make_topics(cluster, made, stop))
    for _ in range(3):
        await cluster.add()
        await asyncio.sleep(3)
    await _until_seats(cluster, (1, 2, 3, 4, 5))
    before = len(made)
    cluster.crash(2)
    await _until_seats(cluster, (1, 3, 4, 5, 6), within_s=120)
    assert len(made) > before
    await cluster.start(2)
    await asyncio.sleep(5)
    stop.set()
    await making
    await asyncio.sleep(3)
    assert [] == cluster.fatal
    assert {(1, 3, 4, 5, 6)} == _seats(cluster)
    assert len(made) > 20
    for node in cluster.running.values():
        assert set() == set(made) - set(node.controller.state.by_name)
        assert 6 == len(node.broker.directory.nodes)
        assert 5 == len(node.links.peers())
    assert 1 == len({node.controller.state.version for node in cluster.running.values()})


def test_a_cluster_of_three_grows_to_six_and_loses_a_member_under_load() -> None:
    """Three seats become five; the dead member's goes to the sixth node; no topic that was made is missing anywhere."""
    simulate(_grows(), 1)


async def _wiped() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    await asyncio.sleep(3)
    four = await cluster.add()
    await asyncio.sleep(3)
    cluster.crash(four)
    cluster.wipe(four)
    await cluster.start(four)
    await asyncio.sleep(5)
    assert [4] == [node for node, _ in cluster.fatal]
    assert "riverrun cluster replace 4 --with NEW" in str(cluster.fatal[0][1])


def test_a_wiped_node_under_its_old_id_is_told_how_to_replace_it() -> None:
    """It has another data directory than the one that registered, and ends with a sentence."""
    simulate(_wiped(), 1)


async def _replaced_before_any_seal() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    await asyncio.sleep(3)
    client = cluster.client("operator")
    with pytest.raises(NodeInUse, match="has a seat in the controller's quorum"):
        await client.remove_node(3)
    four = await cluster.add()
    await asyncio.sleep(3)
    await client.replace_node(3, replacement=four)
    await _until_seats(cluster, (1, 2, four))
    async with asyncio.timeout(30):
        while NodeId(3) in cluster.running[1].controller.state.nodes:  # noqa: ASYNC110  of virtual time
            await asyncio.sleep(0.1)
    await asyncio.sleep(3)
    await client.abandon()
    assert ([3], []) == (cluster.removed, cluster.fatal), "it was told that it is none of the cluster"


def test_a_member_of_the_first_quorum_keeps_its_place_until_another_one_has_it() -> None:
    """No seal says yet who decides: whoever took a member away would have left its seat empty for ever."""
    simulate(_replaced_before_any_seal(), 1)


async def _added_before_all_have_registered() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop, nodes=5)
    for node in (1, 2, 3, 4):
        await cluster.start(node)
    await asyncio.sleep(3)
    client = cluster.client("operator")
    added = await client.add_node(client_address="new:1", peer_address="new:2")
    assert 6 == added.node
    await _until_seats(cluster, (1, 2, 3), within_s=120)
    await cluster.start(5)
    await _until_seats(cluster, (1, 2, 3, 4, 5))
    await client.abandon()
    assert [] == cluster.fatal


def test_a_node_that_the_configuration_names_and_nobody_has_seen_keeps_its_id_and_nobody_waits_for_it() -> None:
    """Who is added meanwhile gets a higher id; after a while those decide that are there, and it is welcome later."""
    simulate(_added_before_all_have_registered(), 1)


async def _drained_but_for_its_seat() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    await asyncio.sleep(3)
    four = await cluster.add()
    await asyncio.sleep(3)
    cluster.crash(four)
    await asyncio.sleep(5)
    client = cluster.client("operator")
    await client.drain_node(2)
    drained = asyncio.create_task(_drained(client, 2))
    await asyncio.sleep(5)
    assert not drained.done(), "with another member switched off as well, nothing could be decided any more"
    await cluster.start(four)
    await drained
    await _until_seats(cluster, (1, 3, four))
    await client.abandon()
    assert [] == cluster.fatal


def test_a_node_may_be_switched_off_when_another_one_has_its_seat(capsys: pytest.CaptureFixture[str]) -> None:
    """It held nothing at all from the beginning: `riverrun cluster drain --wait` says what it waits for."""
    simulate(_drained_but_for_its_seat(), 1)
    assert "its seat in the controller's quorum waits for a node that is alive and has none" in capsys.readouterr().out


async def _removes_itself() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    await asyncio.sleep(3)
    four = await cluster.add()
    await asyncio.sleep(3)
    client = Client(
        [cluster.addresses(four)[0]],
        network=SimNetwork(cluster.fabric, Host("operator")),
        clock=SimClock(loop),
        random=random.Random(1),
    )
    began_s = loop.now_s
    await client.remove_node(four)
    assert loop.now_s - began_s < 1
    await asyncio.sleep(5)
    await client.abandon()
    assert ([four], []) == (cluster.removed, cluster.fatal)


def test_a_node_that_is_to_remove_itself_answers_before_it_ends() -> None:
    """The decision is that none of the others listens to it any more: that they say so is the answer."""
    simulate(_removes_itself(), 1)
