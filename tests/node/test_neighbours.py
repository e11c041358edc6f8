"""Where a node finds the others: by its configuration, by the metadata, and by what it has kept."""

import random

import pytest

from cluster.config import ListenerConfig, NodeConfig, PeerConfig
from cluster.metadata import Node
from cluster.node.neighbours import Neighbours
from cluster.sim.disk import SimDisk
from cluster.types import NodeId

TWO = NodeId(2)
CONFIG = NodeConfig(
    cluster_id="00" * 16,
    node=1,
    data_dir="",
    client=ListenerConfig(bind="a:1"),
    peer=ListenerConfig(bind="a:2"),
    peers=(PeerConfig(node=1, peer="a:2", client="a:1"), PeerConfig(node=2, peer="b:2", client="b:1")),
)


@pytest.fixture
def disk() -> SimDisk:
    """One that does not fail."""
    return SimDisk(random.Random(1), latency_s=0.0)


def recorded(client: str, peer: str) -> dict[NodeId, Node]:
    """Node 2, as it has registered."""
    return {TWO: Node(node=TWO, client_address=client, peer_address=peer)}


def ways(neighbours: Neighbours) -> tuple[str, str]:
    """To node 2: for clients' requests, for peers."""
    return neighbours.way_of_clients(TWO), neighbours.get(TWO, "")


def test_a_node_that_has_moved_is_followed(disk: SimDisk) -> None:
    """Its configured addresses were its own, so they are old now; that is known after a restart, too."""
    neighbours = Neighbours(CONFIG, disk)
    assert ("b:1", "b:2") == ways(neighbours)
    neighbours.record(recorded("b:1", "b:2"))
    neighbours.record(recorded("c:1", "c:2"))
    assert ("c:1", "c:2") == ways(neighbours)
    again = Neighbours(CONFIG, disk)
    again.load()
    assert ("c:1", "c:2") == ways(again)


def test_a_way_of_its_own_stays(disk: SimDisk) -> None:
    """A proxy that the other node knows nothing of is not left when that one registers."""
    neighbours = Neighbours(CONFIG, disk)
    neighbours.record(recorded("public:1", "public:2"))
    assert ("b:1", "b:2") == ways(neighbours)
    neighbours.record(recorded("other:1", "other:2"))
    assert ("b:1", "b:2") == ways(neighbours)


def test_who_is_not_in_the_configuration_is_where_it_says(disk: SimDisk) -> None:
    """And nowhere before."""
    neighbours = Neighbours(CONFIG, disk)
    three = NodeId(3)
    assert ("", "") == (neighbours.way_of_clients(three), neighbours.get(three, ""))
    neighbours.record({three: Node(node=three, client_address="d:1", peer_address="d:2")})
    assert ("d:1", "d:2") == (neighbours.way_of_clients(three), neighbours.get(three, ""))
