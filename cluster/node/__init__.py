"""One node: `node` starts and stops it, `making` makes its parts, `identity` says whose data directory it is."""

from cluster.node.identity import VERSION, claim_directory
from cluster.node.node import Node

__all__ = ["VERSION", "Node", "claim_directory"]
