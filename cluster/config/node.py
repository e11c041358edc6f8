"""The shape of a node's configuration file."""

from dataclasses import dataclass, field

from cluster.config.processing import ProcessingOptions
from cluster.config.seeing import SeeingOptions
from cluster.config.serving import BrokerOptions, ControllerOptions, ExplainOptions, HttpOptions, LinkOptions
from cluster.config.storage import LogOptions, RaftOptions
from cluster.config.tls import TlsConfig

QUORUM_NODES_MAX = 5
"""The controller's quorum; a cluster may be larger (`ControllerOptions.nodes_max`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """An address to bind and, where others must use another one, the address to tell them."""

    bind: str
    advertise: str = ""

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self.advertise or self.bind


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """A node of the cluster as another one sees it; the addresses may differ per viewer (for proxies)."""

    node: int
    peer: str
    client: str = ""
    """Where clients' requests are passed on to it; empty, or once it has said the same: where clients reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What `riverrun node --config FILE` reads (TOML)."""

    cluster_id: str
    """32 hexadecimal digits, the same on every node, minted once per cluster (`riverrun dev` does it)."""
    node: int
    """Its number, from 1."""
    data_dir: str
    client: ListenerConfig
    peer: ListenerConfig
    peers: tuple[PeerConfig, ...]
    """Every node of the cluster, this one included: the first cluster is formed by all of them. Where this node `joins`
    one, some that are there."""
    joins: bool = False
    """The cluster is there, and this node was recorded in it (`riverrun cluster add`)."""
    http: ListenerConfig | None = None
    """JSON and events for browsers, devices, curl and webhooks; absent: no such port."""
    secret_file: str = ""
    """The cluster's secret, known to its nodes; empty: proven by the cluster id alone, or by TLS.

    Without either, only on loopback: the cluster id is told to every client."""
    rack: str = ""
    """What fails together with this node, such as a zone or a rack: replicas are spread over them. Empty: unknown."""
    insecure: bool = False
    """Allow listeners beyond loopback without TLS; it is warned about at each start."""
    tls: TlsConfig | None = None
    """Absent: plain text everywhere."""
    raft: RaftOptions = field(default_factory=RaftOptions)
    log: LogOptions = field(default_factory=LogOptions)
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    links: LinkOptions = field(default_factory=LinkOptions)
    http_options: HttpOptions = field(default_factory=HttpOptions)
    controller: ControllerOptions = field(default_factory=ControllerOptions)
    processing: ProcessingOptions = field(default_factory=ProcessingOptions)
    seeing: SeeingOptions = field(default_factory=SeeingOptions)
