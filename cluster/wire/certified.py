"""What a certificate says about who holds it: which node of which cluster, in a URI of its subject alternative names.

- `riverrun://<cluster id>/node/<n>`: node n of that cluster.
- `riverrun://<cluster id>/node`: any of its nodes, for clusters whose nodes share one certificate.

A certificate without such a name is a client's, whoever signed it.
"""

from collections.abc import Collection

from cluster.errors import Forbidden
from cluster.types import ClusterId, NodeId

SCHEME = "riverrun://"


def node_uri(cluster: ClusterId, node: NodeId | None = None) -> str:
    """The name of one node, or of all.

    >>> node_uri(ClusterId(bytes(2)), NodeId(3)), node_uri(ClusterId(bytes(2)))
    ('riverrun://0000/node/3', 'riverrun://0000/node')
    """
    return f"{SCHEME}{cluster.hex()}/node" + ("" if node is None else f"/{node}")


def is_of_a_node(names: Collection[str]) -> bool:
    """Whether the certificate is a node's, of whichever cluster."""
    return any(name.startswith(SCHEME) and "/node" in name for name in names)


def refuse_strangers(names: Collection[str], cluster: ClusterId) -> None:
    """Forbidden unless the certificate is of a node of this cluster."""
    one, each = node_uri(cluster), node_uri(cluster) + "/"
    if not any(name == one or name.startswith(each) for name in names):
        raise Forbidden(f"only nodes may ask this, with a certificate that names {each}<node>; {_shown(names)}")


def refuse_others(names: Collection[str], cluster: ClusterId, node: NodeId) -> None:
    """Forbidden unless the certificate is that node's."""
    if not {node_uri(cluster), node_uri(cluster, node)}.intersection(names):
        raise Forbidden(f"who says to be node {node} shows a certificate of somebody else: {_shown(names)}")


def _shown(names: Collection[str]) -> str:
    return f"this one names {', '.join(sorted(names))}" if names else "this one names no node"
