"""A node that joins a cluster: recorded there, and the configuration that it is started with."""

from cluster.client.client import Client
from cluster.config import ListenerConfig, NodeConfig, PeerConfig


async def join(
    client: Client,
    *,
    data_dir: str,
    client_listener: ListenerConfig,
    peer_listener: ListenerConfig,
    http_listener: ListenerConfig | None = None,
    rack: str = "",
    secret_file: str = "",
    insecure: bool = False,
) -> NodeConfig:
    """Add the node that will be at these listeners: its id is new, its peers are those that are there.

    The same once more, before it was started, is the same node. Errors: `NodeAdmin.add_node`'s.
    """
    node = await client.add_node(client_address=client_listener.address, peer_address=peer_listener.address, rack=rack)
    view = await client.cluster_status()
    others = [PeerConfig(node=other.node, peer=other.peer_address) for other in view.nodes if other.node != node.node]
    return NodeConfig(
        cluster_id=view.cluster_id.hex(),
        node=node.node,
        data_dir=data_dir,
        client=client_listener,
        peer=peer_listener,
        http=http_listener,
        peers=(*others, PeerConfig(node=node.node, peer=peer_listener.address)),
        joins=True,
        rack=rack,
        secret_file=secret_file,
        insecure=insecure,
    )
