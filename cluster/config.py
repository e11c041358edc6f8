"""Every limit and duration, named, with its unit last. One frozen dataclass a role; `NodeConfig` is the file's shape.

A mailbox, batch, window, retry or wait without a maximum here is a bug.
"""

from dataclasses import dataclass, field
from typing import Literal

KIB = 1024
MIB = 1024 * KIB
QUORUM_NODES_MAX = 5
"""The controller's quorum, and for now the cluster: nodes outside of it do not hear of metadata yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftOptions:
    """One Raft group. Times are in ticks of `BrokerOptions.tick_s`."""

    election_ticks_min: int = 10
    election_ticks_max: int = 20
    heartbeat_ticks: int = 2
    pre_vote: bool = True
    check_quorum: bool = True
    entries_per_append_max: int = 64
    bytes_per_append_max: int = 2 * MIB
    inflight_bytes_max: int = 16 * MIB
    """Sent and not yet acknowledged, per follower."""
    inflight_appends_max: int = 64
    idle_ticks_before_sleep: int = 10
    """A leader whose group was idle so long, with all followers matched, lets it sleep. 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """One partition's log on disk."""

    segment_bytes_max: int = 64 * MIB
    folded_segment_bytes_max: int = 4 * MIB
    """Of a partition that folds into a state: each segment begins with all of that state, and those before it go.
    Where the state is large, a segment takes at least as many bytes of entries, whatever this says.
    """
    allocate_bytes_min: int = 64 * KIB
    allocate_bytes_max: int = 8 * MIB
    """Space is reserved ahead in steps that double between these."""
    cache_bytes_max: int = 16 * MIB
    """The newest entries kept in memory, per partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """A node's replicas and what it does for clients."""

    tick_s: float = 0.05
    record_bytes_max: int = 1 * MIB
    batch_bytes_max: int = 4 * MIB - 64 * KIB
    """Of its payload. With all that stands around it a message stays below 4 MiB, which is what gRPC's clients take."""
    records_per_batch_max: int = 100_000
    mailbox_messages_max: int = 10_000
    uncommitted_bytes_max: int = 64 * MIB
    """Proposed and not committed, per partition: beyond it publishers wait."""
    batches_in_flight_max: int = 32
    """Per producer and partition; a duplicate within so many last batches gets its first receipt."""
    producer_expiry_s: float = 24 * 3600.0
    """A producer that appended nothing for so long, to twice as long, is forgotten by the partition."""
    retention_check_s: float = 30.0
    """A partition that was written to is looked at by its topic's limits this often."""
    segment_age_s_min: float = 10.0
    """A segment of a topic that keeps records for a time takes entries for at least so long."""
    lagging_bytes_max: int = 1024 * MIB
    """Where the topic does not say it: a follower that is further behind is not waited for before trimming."""
    compaction_check_s: float = 15.0
    """A node looks so often whether a partition of a compacted topic is to be compacted."""
    compaction_dirty_share_min: float = 0.5
    """Of the sealed segments' bytes: so much has to be new for a pass."""
    compaction_keys_max: int = 1_000_000
    """Keys that one pass keeps in memory, about 150 bytes each; the next one goes on where it was full."""
    compaction_chunk_bytes: int = 128 * KIB
    """Read, and thinned out, in one piece of disk work: others' writes wait meanwhile, some 10 ms at most."""
    compaction_bytes_per_s_max: int = 32 * MIB
    """Read for compaction, on a node, in at most half of the time; each pass reads everything twice at most."""
    publish_wait_s_max: float = 30.0
    stream_requests_max: int = 256
    """Unanswered requests of one PublishStream; beyond it the node does not read on."""
    stream_retry_s: float = 0.05
    """A read that lost its leader looks for the new one this often."""
    read_chunk_bytes_max: int = 1 * MIB
    """Read from the log at once; a larger batch comes alone."""
    read_message_bytes_max: int = 2 * MIB
    """Of one message to a reader, decoded or decompressed: but for a larger record, or batch as published, alone."""
    read_window_bytes_max: int = 8 * MIB
    barrier_wait_s_max: float = 5.0
    verify_wait_s_max: float = 5.0
    """For another node's answer about its replica."""
    topic_ready_wait_s_max: float = 10.0
    report_interval_s: float = 0.5
    session_grace_s: float = 5.0
    """A member of a group that lost its stream keeps its partitions for so long."""
    group_partitions: int = 16
    """Of the internal topic that keeps the groups: it is made with the first group."""
    group_replicas_max: int = 3
    member_commits_max: int = 256
    """Commits (and, at the coordinator, releases) of one member under way; beyond it the node does not read on."""
    uncommitted_records_max: int = 100_000
    """Delivered to a member and not committed, of each partition, where it does not say it: the largest batch."""
    member_messages_max: int = 4
    """Messages with records that wait for one member to take them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """The streams between nodes."""

    keepalive_s: float = 0.3
    """A link that has nothing to say says so this often."""
    lost_after_s: float = 1.5
    """A peer not heard for so long is down."""
    reconnect_s_min: float = 0.05
    reconnect_s_max: float = 0.5
    connect_timeout_s: float = 2.0
    queue_bytes_max: int = 64 * MIB
    """Per peer and lane; beyond it messages are dropped, and Raft sends them again."""
    protocol_min: int = 1
    protocol_max: int = 2
    """1: messages have no checksum; 2: they have one. Of two nodes both speak the highest that both can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """The controller's quorum and actor."""

    tick_s: float = 0.02
    election_s_min: float = 0.5
    election_s_max: float = 1.0
    command_bytes_max: int = 256 * KIB
    command_timeout_s: float = 5.0
    node_dead_after_s: float = 3.0
    producer_ids_per_range: int = 1_000
    topics_max: int = 10_000
    partitions_max: int = 50_000
    partitions_per_topic_max: int = 4_096
    replicas_default: int = 3
    partitions_default: int = 1
    balance_interval_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """One client connection (`connect(...)`)."""

    linger_s: float = 0.005
    batch_bytes_max: int = 1 * MIB
    records_per_batch_max: int = 10_000
    codec: str = "none"
    """none, lz4 or zstd."""
    record_bytes_max: int = 1 * MIB
    """A larger record is refused before it is buffered; nodes have the same limit."""
    buffer_bytes_max: int = 64 * MIB
    """Produced and not acknowledged; beyond it `produce` waits."""
    batches_in_flight_max: int = 8
    """Per partition."""
    connect_timeout_s: float = 3.0
    """Until one of the given servers has answered."""
    request_timeout_s: float = 10.0
    delivery_timeout_s: float = 120.0
    """A record not acknowledged so long after `produce` fails; at most an hour, so that its sequence is still known."""
    retry_s_min: float = 0.02
    retry_s_max: float = 1.0
    read_window_bytes_max: int = 8 * MIB
    read_retry_s_max: float = 120.0
    """A reader that reaches no leader for so long fails."""
    metadata_age_s_max: float = 60.0
    ask_elsewhere_s: float = 1.5
    """Whoever has looked for a leader for so long asks another node: this one may be cut off from those who know."""
    commit_interval_s: float = 1.0
    """A member of a group commits what was processed this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """A node's HTTP port: from whom it takes requests, how much, and for how long."""

    hosts_allowed: tuple[str, ...] = ()
    """Names in `Host` besides IP addresses, localhost and the listener's own: others may be a rebound name (DNS)."""
    origins_allowed: tuple[str, ...] = ()
    """Origins of web pages, such as "https://app.example", besides the port's own; "*": any."""
    connections_max: int = 1_000
    """Beyond it a new connection is closed at once."""
    head_bytes_max: int = 32 * KIB
    """Request line and headers."""
    head_wait_s_max: float = 10.0
    body_bytes_max: int = 8 * MIB
    body_wait_s_max: float = 30.0
    idle_s_max: int = 60
    """A connection without a request is kept for so long."""
    records_per_publish_max: int = 10_000
    records_per_read_max: int = 1_000
    """Of one answer that is a list; a stream of events has no such limit."""
    read_bytes_max: int = 4 * MIB
    """Of one answer that is a list: the record that reaches it is the last one."""
    read_wait_s_max: float = 10.0
    """A list waits so long for the partitions' leaders, and an event stream for its first answer."""
    events_keepalive_s: float = 15.0
    """An event stream that has nothing to say says so this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingOptions:
    """Apps on a node: their tasks, and the processes that their code runs in."""

    deploy_from_anywhere: bool = False
    """Take code from beyond loopback, too: whoever reaches the port can then run what they like on the nodes."""
    code_bytes_max: int = 32 * MIB
    """Of one file that is deployed."""
    code_piece_bytes_max: int = 512 * KIB
    """Of a file that is uploaded, and stored, in pieces."""
    code_wait_s_max: float = 30.0
    """Until a piece is stored, or a file is read, through changes of leaders."""
    code_cache_bytes_max: int = 64 * MIB
    """Files that a node has read are kept, as far as they fit."""
    code_unused_s: float = 86_400.0
    """Files that no app has for so long go from the cluster."""
    code_look_s: float = 600.0
    """It is looked so often whether there are any."""
    describe_wait_s_max: float = 3.0
    """For what another node says of its tasks."""
    traceback_bytes_max: int = 16 * KIB
    """Of the last error of one task, as it is told."""
    host_start_s_max: float = 30.0
    """Until user code is imported."""
    work_s_max: float = 30.0
    """For one work; beyond it the process is taken to hang, and killed."""
    connector_work_s_max: float = 300.0
    """The same where a source or a sink is alone in its process: a destination may be slow."""
    host_memory_bytes_max: int = 1024 * MIB
    """Of the address space of one process with user code."""
    restart_s_min: float = 0.1
    restart_s_max: float = 30.0
    """Between starts of a process that ends again and again: doubled each time."""
    host_works_max: int = 2
    """Handed to one process ahead, so that it need not wait for its next one; it does one after another."""
    host_frame_bytes_max: int = 32 * MIB
    """Of what comes of one work, and of everything else that a process with user code says at once."""
    host_idle_s: float = 60.0
    """A process that no task uses is kept for so long."""
    host_end_s_max: float = 1.0
    """A process whose connection has ended may take so long to end."""
    host_output_lines_per_s_max: int = 100
    """What user code prints, in the node's log, of one process; the rest is counted."""
    host_output_bytes_per_s_max: int = 8 * MIB
    """Whoever prints more has to wait."""
    host_environment: tuple[str, ...] = ()
    """Names of the node's environment variables that user code and routes get, beside PATH, LANG, LC_ALL, TZ and
    PYTHONPATH; `SHOP_*` are all that begin so, `*` all."""
    workers_max: int = 1_000
    """External workers that may be connected to one node."""
    work_bytes_max: int = 1 * MIB
    """Of the batches of one work."""
    work_records_max: int = 10_000
    commit_bytes_max: int = 16 * MIB
    """What comes of one work; of more, smaller works are made."""
    catch_up_pause: float = 0.5
    """A task that is far behind rests for so much of the time that a work took: what is live comes first."""
    uncommitted_works_max: int = 2
    """Of one task, made ahead of its log."""
    unshipped_bytes_max: int = 16 * MIB
    """Of one task: with more outputs committed and not at their destinations it makes no more."""
    flush_interval_s: float = 5.0
    """State is made durable so often, while it changes."""
    store: Literal["sqlite", "lmdb"] = "sqlite"
    """What the node keeps state in: lmdb (riverrun[lmdb]) reads and applies faster; `processing/store_lmdb.py` says at
    what price. State that is there in the other one is moved at the next start."""
    snapshot_chunk_bytes: int = 1 * MIB
    lagging_bytes_max: int = 64 * MIB
    """A follower of a task's log that is further behind is not waited for: it gets the task's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """An external worker (`riverrun worker`): how it finds nodes, and what it bounds."""

    nodes_interval_s: float = 5.0
    """It asks so often which nodes there are."""
    request_timeout_s: float = 3.0
    retry_s_min: float = 0.1
    retry_s_max: float = 5.0
    """Before it connects again to a node that is gone, or starts user code again that ended: doubled each time."""
    start_s_max: float = 60.0
    """Until user code is imported."""
    frame_bytes_max: int = 32 * MIB
    output_lines_per_s_max: int = 10_000
    output_bytes_per_s_max: int = 64 * MIB


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
    """Where clients' requests are passed on to it; empty: where it says that clients reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What `riverrun node --config FILE` reads (TOML)."""

    cluster_id: str
    """32 hexadecimal digits, the same on every node, minted once per cluster (`riverrun dev` does it)."""
    node: int
    data_dir: str
    client: ListenerConfig
    peer: ListenerConfig
    peers: tuple[PeerConfig, ...]
    """Every node of the cluster, this one included: the first cluster is formed by all of them."""
    http: ListenerConfig | None = None
    """JSON and events for browsers, devices, curl and webhooks; absent: no such port."""
    secret_file: str = ""
    """The cluster's secret, known to its nodes; empty: proven by the cluster id alone (loopback only)."""
    insecure: bool = False
    """Allow listeners beyond loopback without TLS."""
    raft: RaftOptions = field(default_factory=RaftOptions)
    log: LogOptions = field(default_factory=LogOptions)
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    links: LinkOptions = field(default_factory=LinkOptions)
    http_options: HttpOptions = field(default_factory=HttpOptions)
    controller: ControllerOptions = field(default_factory=ControllerOptions)
    processing: ProcessingOptions = field(default_factory=ProcessingOptions)
