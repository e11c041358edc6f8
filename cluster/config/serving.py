"""What a node does for others: its replicas, its links, its part in deciding, its HTTP port."""

from dataclasses import dataclass

from cluster.config.sizes import KIB, MIB


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
    producer_expiry_s: float = 24 * 3600.0
    """A producer that appended nothing for so long, to twice as long, is forgotten by the partition."""
    retention_check_s: float = 30.0
    """A partition that was written to is looked at by its topic's limits this often."""
    segment_age_s_min: float = 10.0
    """A segment of a topic that keeps records for a time takes entries for at least so long."""
    lagging_bytes_max: int = 1024 * MIB
    """Where the topic does not say it: a follower that is further behind is not waited for before trimming."""
    catch_up_bytes_per_s_max: int = 64 * MIB
    """What a node sends to replicas that are being added, in all; those that vote are not slowed."""
    catch_up_left_bytes_max: int = 1 * MIB
    """A replica that is being added becomes a voter when it lacks no more than this."""
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
class ExplainOptions:
    """`riverrun explain`: how long it asks, and from where on something is worth a word."""

    answer_wait_s_max: float = 2.0
    """For another node's answer: one that takes longer is told as silent."""
    describe_wait_s_max: float = 7.0
    """For what a group is, or what an app's tasks do: its answer says itself whom it could not ask."""
    look_again_s: float = 1.0
    """A follower that is behind is looked at again after so long: does it get further?"""
    slow_write_ms_min: int = 200
    """A disk whose writes, with their syncs, usually take so long is slow."""
    hanging_write_ms_min: int = 1_000
    """Or one on which a single write has been under way for so long."""
    behind_ms_min: int = 2_000
    """A follower that lacks for so long what its leader has is behind; so are entries that are not committed."""
    stuck_ms_min: int = 10_000
    """A member of a group that commits nothing for so long, of a partition with records that have waited as long."""
    clocks_apart_ms_min: int = 1_000
    gone_ms_min: int = 300_000
    """A node that is gone for so long may not come back: how it is replaced is told."""
    room_bytes_min: int = 1024 * MIB
    """A node with less than this free is not where another one's replicas should go."""
    loop_late_ms_min: int = 500
    """A node whose loop is late by so much has too much to do."""
    parts_max: int = 3
    """So many partitions that something else waits for are explained with it."""
    looks_max: int = 200
    """Replicas of one node that wait for something, and are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """The streams between nodes."""

    keepalive_s: float = 0.3
    """A link that has nothing to say says so this often."""
    lost_after_s: float = 1.5
    """A peer not heard for so long is down."""
    control_silent_s_max: float = 5.0
    """Nor is one up of which nothing came on the lane of votes and heartbeats for so long."""
    bulk_silent_s_max: float = 60.0
    """The same of the other one, where one message may take long on a narrow link."""
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
    no_majority_wait_s: float = 1.0
    """What is to be decided waits so long for a majority of the quorum to be heard."""
    node_dead_after_s: float = 3.0
    producer_ids_per_range: int = 1_000
    topics_max: int = 10_000
    partitions_max: int = 50_000
    partitions_per_topic_max: int = 4_096
    replicas_default: int = 3
    partitions_default: int = 1
    balance_interval_s: float = 5.0
    """A node looks so often whether others should lead what it leads."""
    transfers_max: int = 100
    """Leaderships that a node hands over at once."""
    transfer_behind_s_max: float = 0.5
    """A follower that lacks what is older is not handed anything yet: nobody could publish while it catches up."""
    node_lost_after_s: float = 600.0
    """A node that is dead for so long is not waited for: what it held is made anew elsewhere."""
    plan_interval_s: float = 0.5
    """It is looked so often whether a replica should be elsewhere."""
    moves_max: int = 16
    """Partitions on their way at once; whatever people move is not held up by it, and holds up nothing itself.
    0: the plan moves nothing."""
    moves_per_node_max: int = 4
    """Of those that the plan sends to one node."""
    balance_replicas: bool = True
    """Move replicas from fuller nodes to emptier ones; leaders are balanced anyway."""
    nodes_max: int = 100
    """Of the cluster; its quorum has at most five members, and the others follow."""
    seat_lost_after_s: float = 60.0
    """The seat of a member that is dead for so long goes to another node."""
    seal_after_commands: int = 20_000
    seal_after_bytes: int = 16 * MIB
    """With so much in the journal the quorum is sealed to the same members: so a start replays no more than that."""
    follow_commands_max: int = 10_000
    """Commands that a member keeps for nodes that follow; who is further behind gets the whole state."""
    follow_bytes_max: int = 16 * MIB
    """The same by their size: one that makes 4,096 partitions takes 16 KiB."""
    state_piece_bytes: int = 512 * KIB


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
