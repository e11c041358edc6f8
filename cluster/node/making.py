"""The parts of a node, each made from what the node has by then; in the order in which they are needed."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from cluster.broker.admin_service import AdminService
from cluster.broker.broker import Broker
from cluster.broker.explaining.asking import Asking
from cluster.broker.explaining.looking import Looking
from cluster.broker.explaining.service import ExplainService
from cluster.broker.forwarding import Forwarding
from cluster.broker.groups.group_admin import GroupAdmin
from cluster.broker.groups.subscribe_service import SubscribeService
from cluster.broker.operations_service import OperationsService
from cluster.broker.peer_channels import PeerChannels
from cluster.broker.routes import public_routes
from cluster.broker.trim_service import TrimService
from cluster.broker.verify_service import VerifyService
from cluster.config import QUORUM_NODES_MAX
from cluster.controller import Controller, Fold, Quorums
from cluster.metadata import NodeState
from cluster.node.counting import counted
from cluster.processing.assembly import Apps
from cluster.processing.surroundings import Processing
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.emptying import Emptying
from cluster.processing.tasks.tasks import Tasks
from cluster.types import NodeId
from cluster.wire.links import Links
from cluster.world import Route

if TYPE_CHECKING:
    from cluster.node.node import Node


def make_links(node: "Node") -> Links:
    """The streams to the other nodes."""
    return Links(
        network=node.world.network,
        clock=node.world.clock,
        random=node.world.random,
        me=node.me,
        cluster_id=node.cluster,
        secret=node.secret,
        incarnation=int.from_bytes(node.world.random.randbytes(7), "big") | 1,
        options=node.config.links,
        spawn=node.supervisor.spawn_task,
        refuse_gone=lambda gone: node.controller.refuse_gone(gone),  # noqa: PLW0108  it is made after the links
        on_message=node.on_message,
        on_up=node.on_up,
        on_down=node.on_down,
        on_removed=lambda: node.controller.operations.removed.set(),  # noqa: PLW0108  it is made after the links
    )


def make_controller(node: "Node") -> Controller:
    """Its part in deciding."""
    members = tuple(sorted(NodeId(peer.node) for peer in node.config.peers))[:QUORUM_NODES_MAX]

    def make_quorum(fold: Fold) -> Quorums:
        return Quorums(
            me=node.me,
            directory=lambda: node.directory,
            first=() if node.config.joins else members,
            disk=node.world.disk,
            clock=node.world.clock,
            random=node.world.random,
            options=node.config.controller,
            send=node.send_quorum,
            fold=fold,
        )

    return Controller(
        me=node.me,
        make_quorum=make_quorum,
        clock=node.world.clock,
        random=node.world.random,
        options=node.config.controller,
        configured=[NodeId(peer.node) for peer in node.config.peers],
    )


def come_ns(node: "Node") -> int:
    """What has come by the clocks of a majority: nodes that were added and never started have none."""
    known = node.broker.directory.nodes.values()
    return node.links.come_ns([other.node for other in known if other.state is NodeState.ADDED])


def make_broker(node: "Node") -> Broker:
    """What runs its replicas."""
    return Broker(
        me=node.me,
        cluster=node.cluster,
        world=node.world,
        supervisor=node.supervisor,
        writer=node.writer,
        send=counted(node.send, node.meters),
        come_ns=partial(come_ns, node),
        tell_all=node.tell_all,
        raft=node.config.raft,
        log=node.config.log,
        options=node.config.broker,
        replica_class=node.replica_class,
        machine_of_topic=node.machine_of_topic,
        meters=node.meters,
    )


def make_forwarding(node: "Node") -> Forwarding:
    """The way of clients' requests to the nodes that lead. With TLS, nodes talk at their peer listeners only."""
    neighbours = node.neighbours

    def way(to: NodeId) -> str:
        return neighbours.get(to, "") if node.config.tls is not None else neighbours.way_of_clients(to)

    return Forwarding(node.broker, node.world.network, node.config.broker, way)


def make_tasks(node: "Node", processing: Processing) -> Tasks:
    """What runs its tasks."""
    around = Around(
        broker=node.broker,
        reading=node.reading,
        outlets=node.outlets,
        emptying=Emptying(
            broker=node.broker,
            links=node.links,
            channels=node.channels,
            every_s=node.config.processing.delete_read_s,
        ),
        processing=processing,
        read_code=node.read_code,
        clock=node.world.clock,
        come_ns=partial(come_ns, node),
        random=node.world.random,
        config=node.config,
    )
    return Tasks(
        around, supervisor=node.supervisor, links=node.links, publishing=node.publishing, channels=node.channels
    )


def make_apps(node: "Node", processing: Processing | None) -> Apps:
    """What deploys, and tells of what is deployed."""
    apps = Apps(
        config=node.config,
        broker=node.broker,
        decisions=node.controller,
        forwarding=node.forwarding,
        reading=node.reading,
        publishing=node.publishing,
        outlets=node.outlets,
        clock=node.world.clock,
        hosts=processing.hosts if processing is not None else None,
        nodes=lambda: len(node.neighbours),
    )
    if node.tasks is not None:
        apps.run_by(node.tasks)
    return apps


def make_subscribing(node: "Node") -> SubscribeService:
    """The way of members to their groups' coordinators."""
    return SubscribeService(
        broker=node.broker,
        reading=node.reading,
        links=node.links,
        random=node.world.random,
        channels=PeerChannels(node.world.network, node.neighbours),
        make_topic=node.make_groups_topic,
        options=node.config.broker,
    )


def make_looking(node: "Node") -> Looking:
    """What looks at it for whoever wants to know."""
    return Looking(
        broker=node.broker,
        writer=node.writer,
        disk=node.world.disk,
        clock=node.world.clock,
        is_up=node.links.is_up,
        controller=lambda: node.controller.deciding().leader,
        quorum=node.controller.quorum_members,
        options=node.config.explain,
    )


def make_explaining(node: "Node", others: Mapping[str, Route]) -> ExplainService:
    """What says who waits for whom."""
    options = node.config.explain
    asking = Asking(
        broker=node.broker,
        forwarding=node.forwarding,
        looking=node.looking,
        gone_s=node.controller.gone_s,
        clock=node.world.clock,
        options=options,
    )
    return ExplainService(broker=node.broker, looking=node.looking, asking=asking, others=others, options=options)


def client_routes(node: "Node") -> Mapping[str, Route]:
    """What clients may call."""
    options, clock = node.config.broker, node.world.clock
    return public_routes(
        node.publishing,
        node.reading,
        AdminService(broker=node.broker, decisions=node.controller, cluster=node.cluster, options=options),
        node.subscribing,
        GroupAdmin(
            broker=node.broker,
            coordinator=node.coordinator,
            reading=node.reading,
            forwarding=node.forwarding,
            clock=clock,
            options=options,
        ),
        VerifyService(broker=node.broker, forwarding=node.forwarding, disk=node.world.disk, options=options),
        TrimService(broker=node.broker, forwarding=node.forwarding, options=options),
        OperationsService(node.controller.operations),
    )
