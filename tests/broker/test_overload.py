"""A replica whose mailbox is full: its node loses what may be lost, and lives."""

import pytest

from cluster.broker.requests import Tick
from cluster.errors import Overloaded
from cluster.messages import Heartbeat
from cluster.sim.cluster import SimCluster
from cluster.types import Index, NodeId, Term
from cluster.wire.peer import ReplicaEnvelope
from tests.broker.thin import RECORDS, TOPIC, in_a_cluster

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_a_full_mailbox_ends_no_node(cluster: SimCluster) -> None:
    """Ticks, Raft messages, changed links and wishes for another leader find no room; then everything goes on."""
    for number, node in cluster.running.items():
        for partition, running in node.broker.running.items():
            while running.ref.waiting < node.config.broker.mailbox_messages_max:
                running.ref.tell_nowait(Tick())
            with pytest.raises(Overloaded):
                running.ref.tell_nowait(Tick())
            me = running.assigned.replica
            heartbeat = Heartbeat(sender=me, to=me, term=Term(1), commit=Index(0))
            node.broker.on_peer_message(ReplicaEnvelope(partition=partition, message=heartbeat), NodeId(2))
            node.broker.transfer(partition, NodeId(number % 3 + 1))
            node.broker.on_peer_down(NodeId(number % 3 + 1))
            node.broker.on_peer_up(NodeId(number % 3 + 1))
    client = cluster.client("after")
    for number in range(RECORDS):
        await client.publish(TOPIC, b"%d" % number, key=b"%d" % number)
    await client.abandon()

    assert [] == cluster.fatal
