"""Alive, ready, degraded: what a node says of itself, and when; and how it leaves."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from cluster.errors import UnknownService
from cluster.sim.clock import Host
from cluster.sim.cluster import SimCluster
from cluster.sim.network import SimNetwork
from tests.broker.web.client import WebClient, app_of, on_nodes

SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


def asked(service: str) -> bytes:
    """The request."""
    return health_pb2.HealthCheckRequest(service=service).SerializeToString()


def status(answer: bytes | None) -> int:
    """What it says."""
    assert answer is not None
    return health_pb2.HealthCheckResponse.FromString(answer).status


@pytest.mark.slow
@on_nodes(3)
async def test_health_is_told_on_both_listeners_for_each_service(cluster: SimCluster) -> None:
    """For the node, and for the services that a listener has; of others NOT_FOUND, and to a watcher SERVICE_UNKNOWN."""
    network = SimNetwork(cluster.fabric, Host("probe"))
    clients, peers = network.channel("node-1:7171"), network.channel("node-1:7271")
    for channel, service in (
        (clients, ""),
        (clients, "riverrun.v1.StreamService"),
        (clients, "grpc.health.v1.Health"),
        (peers, ""),
        (peers, "riverrun.internal.v1.PeerService"),
    ):
        assert SERVING == status(await channel.call(CHECK, asked(service), timeout_s=1)), service
    with pytest.raises(UnknownService):
        await clients.call(CHECK, asked("riverrun.v1.Nothing"), timeout_s=1)
    watching, other, in_vain = (clients.stream(WATCH) for _ in range(3))
    for stream, service in ((watching, ""), (other, ""), (in_vain, "riverrun.v1.Nothing")):
        await stream.send(asked(service))
    assert [SERVING, SERVING, UNKNOWN] == [status(await stream.receive()) for stream in (watching, other, in_vain)]
    other.cancel()  # whoever leaves takes no news from the others
    await asyncio.sleep(0.1)
    await cluster.running[1].drain()
    assert NOT_SERVING == status(await watching.receive())
    assert NOT_SERVING == status(await clients.call(CHECK, asked(""), timeout_s=1))
    await cluster.running[1].stop()
    assert [None, None] == [await watching.receive(), await in_vain.receive()]
    cluster.kill(1)
    await clients.close()
    await peers.close()


@pytest.mark.slow
@on_nodes(3)
async def test_without_a_controller_a_node_is_ready_and_says_what_it_cannot_do(cluster: SimCluster) -> None:
    """Records go on, so nobody shall take it out of service; the same with a full disk."""
    client = WebClient(app_of(cluster.running[1]))
    async with cluster.client("shop") as shop:
        await shop.create_topic("orders", partitions=1)
        await shop.publish("orders", b"one")
    assert {"ready": True} == (await client.get("/readyz")).json()
    for node in (2, 3):
        cluster.cut(1, node)
    await asyncio.sleep(5)
    told = await client.get("/readyz")
    assert (200, True, 1) == (told.status, told.json()["ready"], len(told.json()["degraded"]))
    assert "no controller" in told.json()["degraded"][0]
    running = next(iter(cluster.running[1].broker.running.values()))
    running.replica.log.full = True
    assert "disk is full" in (await client.get("/readyz")).json()["degraded"][1]
    running.replica.log.full = False


@pytest.mark.slow
@on_nodes(3)
async def test_a_node_that_starts_or_stops_is_not_ready_and_says_why(cluster: SimCluster) -> None:
    """503 with the reason, and when to ask again."""
    node = cluster.running[1]
    client = WebClient(app_of(node))
    node.broker.reconciled = False
    told = await client.get("/readyz")
    assert (503, "its replicas to be opened", "1") == (
        told.status,
        told.json()["metadata"]["waiting_for"],
        told.headers["retry-after"],
    )
    node.broker.reconciled = True
    await node.drain()
    assert "stopping" in (await client.get("/readyz")).json()["message"]


@pytest.mark.slow
@on_nodes(1)
async def test_what_hangs_is_not_alive(cluster: SimCluster) -> None:
    """A write that does not end, and a loop that does not turn; both are over when they go on."""
    node = cluster.running[1]
    client = WebClient(app_of(node))
    assert {"alive": True} == (await client.get("/healthz")).json()
    node.writer.timing.begins(node.world.clock.monotonic_s() - 31)
    told = await client.get("/healthz")
    assert (503, "the disk has not finished a write for 31 s") == (told.status, told.json()["metadata"]["hangs"])
    node.writer.timing.ends(node.world.clock.monotonic_s(), wrote=(), full=())
    cluster.pause(1, 40)
    await asyncio.sleep(35)
    assert "did not turn" in node.seeing.hangs()
    await asyncio.sleep(10)
    assert "" == node.seeing.hangs()
    assert 1 == node.meters.loop_late.counts[-1]


@pytest.mark.slow
@on_nodes(3)
async def test_a_node_that_stops_hands_over_what_it_leads(cluster: SimCluster) -> None:
    """At once, to those that are there; so nobody waits for an election time."""
    async with cluster.client("shop") as shop:
        await shop.create_topic("orders", partitions=6)
        await asyncio.sleep(2)
        node = cluster.running[1]
        led = [p for p, running in node.broker.running.items() if running.replica.raft.is_leader]
        began_s = cluster.loop.now_s
        await node.drain()
        assert led
        assert cluster.loop.now_s - began_s < 0.5
        assert [] == [p for p in led if node.broker.running[p].replica.raft.is_leader]
        others = [cluster.running[number].broker.running for number in (2, 3)]
        await asyncio.sleep(0.2)
        assert all(any(running[p].replica.raft.is_leader for running in others) for p in led)
