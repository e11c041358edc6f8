"""What a replica is handed by its broker: the world's parts, where to send, whom to tell, and the limits."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.broker.catch_up import CatchUp
from cluster.broker.publishing import Publishing
from cluster.config import BrokerOptions, RaftOptions
from cluster.log import Writer
from cluster.raft import Raft
from cluster.types import NodeId, ProducerId
from cluster.wire.peer import ReplicaEnvelope
from cluster.world import Clock, Random

if TYPE_CHECKING:
    from cluster.broker.replica import Replica


class Pulse:
    """What a node's replicas share: its count of ticks (one for a pause of any length), and how often links changed."""

    ticks = 0
    links = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a replica is handed by its broker."""

    clock: Clock
    come_ns: Callable[[], int]
    """The latest time that has come by the wall clocks of a majority of nodes; 0 if that is not known."""
    random: Random
    writer: Writer
    me: NodeId
    send: Callable[[NodeId, ReplicaEnvelope], object]
    on_leader: "Callable[[Replica], None]"
    address_of: Callable[[NodeId], str]
    is_up: Callable[[NodeId], bool]
    leaving: Collection[NodeId]
    """Nodes that are about to stop, as of now: none of them is to lead anything more."""
    pulse: Pulse
    on_folded: "Callable[[Replica], None]"
    """The commit, or who leads, has changed in a partition that folds into a state."""
    on_membership: "Callable[[Replica], None]"
    """The committed membership of a partition that is led here, or how far its learners are, has changed noticeably."""
    catch_up: CatchUp
    producer_lives: Callable[[ProducerId], bool]
    """Whether a producer must not be forgotten, however quiet it is."""
    raft: RaftOptions
    broker: BrokerOptions
    raft_class: type[Raft] = Raft
    """Tests plant bugs here, and in `publishing_class`."""
    publishing_class: type[Publishing] = Publishing
