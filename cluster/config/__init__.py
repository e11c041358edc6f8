"""Every limit and duration, named, with its unit last. One frozen dataclass a role; `NodeConfig` is the file's shape.

A mailbox, batch, window, retry or wait without a maximum here is a bug.
"""

from cluster.config.clients import ClientOptions
from cluster.config.node import QUORUM_NODES_MAX, ListenerConfig, NodeConfig, PeerConfig
from cluster.config.processing import ProcessingOptions, WorkerOptions
from cluster.config.serving import BrokerOptions, ControllerOptions, ExplainOptions, HttpOptions, LinkOptions
from cluster.config.sizes import KIB, MIB
from cluster.config.storage import LogOptions, RaftOptions
from cluster.config.tls import Speaks, TlsConfig, TlsOptions

__all__ = [
    "KIB",
    "MIB",
    "QUORUM_NODES_MAX",
    "BrokerOptions",
    "ClientOptions",
    "ControllerOptions",
    "ExplainOptions",
    "HttpOptions",
    "LinkOptions",
    "ListenerConfig",
    "LogOptions",
    "NodeConfig",
    "PeerConfig",
    "ProcessingOptions",
    "RaftOptions",
    "Speaks",
    "TlsConfig",
    "TlsOptions",
    "WorkerOptions",
]
