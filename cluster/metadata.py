"""What the controller decided, as values: topics, placements, nodes, apps. Brokers and clients' requests read these.

Metadata moves as numbered deltas. A delta with `resync` replaces everything known before. Leaders are not part of
it: Raft elects them, nodes tell each other in reports, and nothing here waits for them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from cluster.types import Index, NodeId, Offset, PartitionId, ProducerId, ReplicaId, Term, TopicId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One copy: where it is, and whether the controller recorded that its log exists (so that it may vote)."""

    replica: ReplicaId
    node: NodeId
    initialised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The copies of one partition, as intended; the membership in the partition's log wins.

    `replicas`: who is there by the membership that was last confirmed. `target`: who is to be there in their place;
    empty: nothing moves. `abandoned`: what targets that were given up had made; they run on until a confirmed
    membership is without them. `removed`: those that a confirmed membership is without, and whose nodes have not said
    yet that their files are gone. `since`: the version with which `target` was last set (0: never); a membership that
    was not made for that version, though it be the target, confirms nothing. `pinned`: somebody chose its nodes, or
    had it go back to them, and balance leaves it there. `lost`: a recovery found no copy of it: nothing of it is there,
    and nothing is made of it, until its topic goes.
    """

    number: int
    replicas: tuple[Replica, ...]
    preferred_leader: NodeId = NodeId(0)
    target: tuple[Replica, ...] = ()
    abandoned: tuple[Replica, ...] = ()
    removed: tuple[Replica, ...] = ()
    since: int = 0
    pinned: bool = False
    lost: bool = False

    @property
    def running(self) -> tuple[Replica, ...]:
        """All that have to run, each once: a membership may name any of them."""
        return tuple({item.replica: item for item in (*self.abandoned, *self.target, *self.replicas)}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig:
    """What of a topic is kept; None: no limit. Kept by whole segments of the log, so somewhat more stays.

    `retention_ms`: records may go when they were appended longer ago. `retention_bytes`: the oldest may go while a
    partition takes more than this on each replica. `lagging_bytes_max`: a replica that is further behind is not waited
    for (None: `BrokerOptions.lagging_bytes_max`); it starts again from the log's new start.
    `compacted`: of each key only the newest record is kept; one with an empty value is a tombstone, which deletes its
    key and stays for `tombstone_ms` (None: a day).
    """

    retention_ms: int | None = None
    retention_bytes: int | None = None
    lagging_bytes_max: int | None = None
    compacted: bool | None = None
    tombstone_ms: int | None = None

    @property
    def tombstone_life_ms(self) -> int | None:
        """How long tombstones stay, at least; None: the topic is not compacted."""
        return (self.tombstone_ms or TOMBSTONE_MS) if self.compacted else None

    def objection(self) -> str:
        """What is wrong with it, in a sentence; empty if nothing is."""
        for name in CONFIG_NAMES:
            value = getattr(self, name)
            if value is not None and name != "compacted" and not 0 < value <= LIMIT_MAX:
                return f"{name} is at least 1 and below 2^63, not {value}; without a limit it is not set"
        return ""

    def altered(self, changes: "TopicConfig", unset: Collection[str]) -> "TopicConfig":
        """With what `changes` sets in the place of what was, and without what `unset` names."""
        names = [name for name in CONFIG_NAMES if name not in unset]
        values = {name: (getattr(self, name), getattr(changes, name)) for name in names}
        return TopicConfig(**{name: old if new is None else new for name, (old, new) in values.items()})


CONFIG_NAMES = tuple(item.name for item in fields(TopicConfig))
LIMIT_MAX = (1 << 63) - 1
TOMBSTONE_MS = 24 * 3600 * 1000
"""Where a compacted topic does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic with its placements by partition number."""

    name: str
    id: TopicId
    partitions: tuple[Placement, ...]
    replicas: int
    partitioner_version: int = 1
    config: TopicConfig = TopicConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A file with user code, as it was deployed: known by its hash, and kept in the internal topic of code.

    `name`: the file's, such as "retail.py". `app`: what the app is called in it. `offset`: where its pieces begin.
    """

    sha256: bytes
    size_bytes: int
    name: str
    app: str
    offset: Offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of an app: partition i of `topic` is the log of its task i, which destinations know as `producer` + i.

    `spec`: see `cluster.processing.spec`; the controller does not look into it. `external`: a worker runs the code.
    """

    name: str
    version: int
    spec: bytes
    code: Code
    topic: TopicId
    tasks: int
    producer: ProducerId
    paused: bool = False
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What was deployed under a name; stages by (name, version), so two versions of a processor may run at once."""

    name: str
    stages: tuple[Stage, ...]


class NodeState(Enum):
    """What the controller makes of a node's heartbeats."""

    ALIVE = "alive"
    DEAD = "dead"
    ADDED = "added"
    """It has an id and addresses, and has not registered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that has registered, or is expected to. `directory`: the data directory that it registered with.

    `draining`: it is to hold nothing, so that it can be removed. `replaced_by`: that node gets what it holds (0: any).
    """

    node: NodeId
    client_address: str
    peer_address: str
    state: NodeState = NodeState.ALIVE
    version: str = ""
    rack: str = ""
    draining: bool = False
    directory: bytes = b""
    replaced_by: NodeId = NodeId(0)

    @property
    def usable(self) -> bool:
        """Whether replicas may be put there."""
        return self.state is NodeState.ALIVE and not self.draining


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A member of the controller's quorum: the node with that data directory, and no other one of its id.

    `directory` is empty in the first configuration, which nodes form before any has registered.
    """

    node: NodeId
    directory: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumConfiguration:
    """Who decides. `number` counts from 1 and rises by one with every seal; messages and journals carry it."""

    number: int
    seats: tuple[Seat, ...] = ()

    @property
    def members(self) -> tuple[NodeId, ...]:
        """The nodes."""
        return tuple(seat.node for seat in self.seats)

    def seat_of(self, node: NodeId) -> Seat | None:
        """The node's seat, if it has one."""
        return next((seat for seat in self.seats if seat.node == node), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The cluster was made to go on without a majority (`cluster.node.recovery`): when, and what it cost.

    `nodes` were given up, and never return. `forced` partitions went on with the replicas that were left, `lost` ones
    had none. `decisions`: some of the controller's may be missing.
    """

    at_ns: int
    configuration: int
    nodes: tuple[NodeId, ...]
    forced: int
    lost: int
    decisions: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Whether anything can be decided now, as one node sees it.

    `members`: of the controller's quorum. `silent`: those of them that are not linked with this node. `heard`: all
    nodes that are, and itself. `leader`: the member that decides, if it is heard; None: there is none now. `lost`:
    replicas of which their nodes say that they have lost them.
    """

    members: tuple[NodeId, ...]
    silent: tuple[NodeId, ...]
    heard: frozenset[NodeId]
    leader: NodeId | None
    recoveries: tuple[Recovery, ...] = ()
    lost: frozenset[ReplicaId] = frozenset()

    @property
    def has_majority(self) -> bool:
        """Whether so many members are heard that they can decide, or the one that leads them is."""
        return self.leader is not None or not self.members or 2 * len(self.silent) < len(self.members)

    @property
    def trouble(self) -> str:
        """Why nothing can be decided, what goes on, and what to do; empty: a majority is there."""
        if self.has_majority:
            return ""
        one, lacking = len(self.silent) == 1, len(self.members) // 2 + 1 - (len(self.members) - len(self.silent))
        return (
            f"the controller has no majority: of its members {_numbers(self.members)}, "
            f"{'node' if one else 'nodes'} {_numbers(self.silent)} {'is' if one else 'are'} not heard. Until {lacking} "
            f"more of them run{'s' * (lacking == 1)}, nothing can be decided (topics, apps, nodes, moves, named "
            "producers); records are published and read where partitions have leaders. Start them again; only if they "
            "are lost for good, with their data: riverrun cluster recover --unsafe"
        )


def _numbers(nodes: Collection[int]) -> str:
    *most, last = map(str, sorted(nodes))
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one version changed.

    `deleted` are topics gone for good, `removed` the names of apps that are gone, `gone` nodes whose ids never return.
    """

    version: int
    topics: tuple[Topic, ...] = ()
    deleted: tuple[TopicId, ...] = ()
    nodes: tuple[Node, ...] = ()
    apps: tuple[App, ...] = ()
    removed: tuple[str, ...] = ()
    quorum: QuorumConfiguration | None = None
    gone: tuple[NodeId, ...] = ()
    resync: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMembership:
    """What a leader says of its partition's committed membership, which is the entry at `index` (0: the log's first).

    `term`: the leader's. `joint`: it is on its way to another one, be it that this one is joint, or that a later one is
    in the log and not committed. `behind_bytes`: what the slowest learner lacks. `version`: that of the target
    (`cluster.broker.requests.Reassign`) that it was made for.
    """

    index: Index
    term: Term
    voters: tuple[ReplicaId, ...]
    learners: tuple[ReplicaId, ...] = ()
    joint: bool = False
    behind_bytes: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a node tells all others, when it changed and in full when a link comes up.

    `leaders`: partitions that the node leads, with the term; `initialised`: replicas whose logs now exist;
    `lost`: replicas recorded as initialised whose disk is empty or lost its vote; `memberships`: of partitions that the
    node leads; `dropped`: replicas of `Placement.removed` whose files are gone; `unknown`: how many directories of
    replicas the node has set aside, since nobody has assigned them; `leaving`: it is about to stop, and leads no more.
    """

    node: NodeId
    metadata_version: int
    leaders: Mapping[PartitionId, Term] = field(default_factory=dict)
    resigned: tuple[PartitionId, ...] = ()
    initialised: tuple[ReplicaId, ...] = ()
    lost: tuple[ReplicaId, ...] = ()
    memberships: Mapping[PartitionId, ReportedMembership] = field(default_factory=dict)
    dropped: tuple[ReplicaId, ...] = ()
    unknown: int = 0
    leaving: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassignment:
    """A partition on its way from nodes to others. `back`: it was cancelled, and returns.

    `behind_bytes`: what the slowest of the new replicas lacks; None: nobody has said it, or all of them vote. `joint`:
    the new ones vote already, and the old ones still do.
    """

    topic: str
    number: int
    replicas: tuple[NodeId, ...]
    target: tuple[NodeId, ...]
    back: bool
    behind_bytes: int | None
    joint: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A partition that would move if it could, and why it does not: a sentence, or one of those that follow."""

    topic: str
    number: int
    replicas: tuple[NodeId, ...]
    why: str


WAITS_FOR_TURN = "waits for its turn"
"""Others are on their way."""
LED_BY_DRAINING = "is led by a node that drains"
"""It goes when another one leads it."""
NO_COPY_LEFT = "a recovery found no copy of it: delete the topic (riverrun topic delete), and make it anew"
"""It goes nowhere."""
