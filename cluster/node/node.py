"""One node: assembled from a World and a configuration, started in order, stopped in the opposite order.

Start: the data directory is claimed (this cluster, this node) → the writer → links to the peers → the controller's
quorum → the broker → the peer listener → this node registers → the client listener → HTTP, if it is configured. So
nothing is served before it can be answered, and a refusal to start is one sentence.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from cluster.actor import Alarm, Supervisor
from cluster.broker.groups.coordinator import Coordinator
from cluster.broker.groups.state import Groups
from cluster.broker.peer_channels import PeerChannels
from cluster.broker.publish_service import PublishService
from cluster.broker.read_service import ReadService
from cluster.broker.replica import Replica
from cluster.config import NodeConfig
from cluster.errors import InvalidRequest, NodeRemoved, RefusedToStart, RiverrunError, Unavailable
from cluster.log import MachineOf, Writer
from cluster.metadata import Code, Delta, Report, TopicConfig
from cluster.metadata import Node as NodeInfo
from cluster.meters import Meters
from cluster.node import making
from cluster.node.counting import timed
from cluster.node.identity import VERSION, claim_directory
from cluster.node.leaving import hand_over
from cluster.node.machines import machine_of_topic
from cluster.node.neighbours import Neighbours
from cluster.node.recovery import refuse_unfinished
from cluster.node.seeing import Seeing
from cluster.processing.ledger import Ledger
from cluster.processing.surroundings import Processing
from cluster.processing.tasks.outlets import Outlets
from cluster.types import ClusterId, Lane, NodeId
from cluster.wire.attach import ATTACH
from cluster.wire.peer import PeerMessage, QuorumEnvelope, ReplicaEnvelope, lane_of
from cluster.world import HttpApp, Listener, Route, World

log_event = structlog.get_logger()

GRACE_S = 2.0
PEER_GRACE_S = 0.5
"""The streams of other nodes have no end of their own: what they bring is sent again, to others."""


class Node:
    """One process of a cluster. `on_fatal` is told when it must end: a broken invariant or a failed disk."""

    replica_class: type[Replica] = Replica
    groups_class: type[Groups] = Groups
    ledger_class: type[Ledger] = Ledger
    """Tests plant bugs in these."""

    def __init__(
        self,
        config: NodeConfig,
        world: World,
        *,
        secret: bytes,
        on_fatal: Callable[[BaseException], None],
        processing: Processing | None = None,
    ) -> None:
        self.config = config
        self.me = NodeId(config.node)
        self.cluster = ClusterId(bytes.fromhex(config.cluster_id))
        self.world = world
        self.secret = secret
        self._listeners: list[Listener] = []
        self.supervisor = Supervisor(on_fatal=on_fatal)
        self.meters = Meters(config.seeing.metric_topics_max)
        self.writer = Writer(world.disk, world.clock, self.meters)
        self.directory = b""
        """Of the data directory, once it is claimed."""
        self.neighbours = Neighbours(config, world.disk)
        self.links = making.make_links(self)
        self.controller = making.make_controller(self)
        self.broker = making.make_broker(self)
        self.controller.operations.leading = self.broker.leaders.snapshot
        self.controller.operations.leaving = lambda: self.broker.leaders.leaving
        self._balancing = Alarm()
        self.forwarding = making.make_forwarding(self)
        self.coordinator = Coordinator(broker=self.broker, check=self.links.check, options=config.broker)
        self.reading = ReadService(
            broker=self.broker,
            forwarding=self.forwarding,
            options=config.broker,
            clock=world.clock,
            come_ns=partial(making.come_ns, self),
            meters=self.meters,
        )
        self.publishing = PublishService(
            broker=self.broker,
            forwarding=self.forwarding,
            clock=world.clock,
            options=config.broker,
            meters=self.meters,
        )
        self.channels = PeerChannels(world.network, self.neighbours)
        self.outlets = Outlets(broker=self.broker, publishing=self.publishing, links=self.links, channel=self.channels)
        self.tasks = making.make_tasks(self, processing) if processing is not None else None
        self.apps = making.make_apps(self, processing)
        self.subscribing = making.make_subscribing(self)
        routes = {**making.client_routes(self), **self.apps.routes(), **(processing.routes if processing else {})}
        self.looking = making.make_looking(self)
        routes |= making.make_explaining(self, dict(routes)).routes()
        self._routes = timed(routes, self.meters, world.clock)
        self.seeing = Seeing(self)

    async def start(self) -> None:
        """Start in order; RefusedToStart or CorruptStorage if this node must not run."""
        disk = self.world.disk
        random = self.world.random
        self.directory = await disk.run(lambda: claim_directory(disk, random, self.cluster, self.me))
        recovered = await disk.run(lambda: refuse_unfinished(disk))
        if recovered is not None:
            log_event.warning(
                "recovered_unsafely", planned_ns=recovered.at_ns, lost_nodes=recovered.lost, account=recovered.account
            )
        await disk.run(self.neighbours.load)
        self.supervisor.spawn_task(self.writer.run(), name="writer")
        self.controller.start()
        self.broker.start()
        self.supervisor.spawn_task(self.controller.run(), name="controller")
        routes = {**self.links.routes(), ATTACH: Route(streaming=self.coordinator.attach)}
        if self.tasks is not None:
            routes |= self.tasks.routes()
        if self.config.tls is not None:
            routes |= self._routes  # of nodes that pass requests on, which prove here that they are nodes
        await self._listen(self.config.peer.bind, routes, public=False)
        self.links.set_peers(self.neighbours.others())
        self.supervisor.spawn_task(self._register(), name="register")
        self.supervisor.spawn_task(self._balance(), name="balance")
        self.supervisor.spawn_task(self.seeing.run(), name="seeing")
        self.supervisor.spawn_task(self.looking.run(), name="looking")
        self.supervisor.spawn_task(self.apps.sweeping.run(), name="apps/sweep")
        app = self.http_app() if self.config.http is not None else None  # its import takes a moment: not while serving
        await self._listen(self.config.client.bind, self._routes, public=True)
        if app is not None:
            await self._serve_http(app)

    async def drain(self) -> None:
        """Before a stop that nothing forces: say that it is not ready, and let others lead what it leads."""
        self.seeing.stop()
        self.broker.leave()
        await asyncio.sleep(self.config.seeing.stop_notice_s)
        await hand_over(self)

    async def stop(self) -> None:
        """End tasks, refuse new requests, end what runs, leave the disk as it is promised."""
        if self.tasks is not None:
            await self.tasks.close()  # before the listeners, whose workers' streams have no end of their own
        self.seeing.stop()
        self.seeing.health.close()
        peers, fronts = self._listeners[:1], self._listeners[1:]
        await asyncio.gather(*(listener.close(GRACE_S) for listener in fronts))
        for listener in peers:
            await listener.close(PEER_GRACE_S)
        self.coordinator.stop()
        self.apps.close()
        await self.subscribing.close()
        await self.forwarding.close()
        await self.links.close()
        await self.supervisor.stop()
        self.controller.stop()

    # --- what parts ask of it

    def machine_of_topic(self, name: str) -> MachineOf | None:
        """What the commands in the partitions of a topic fold into; None: it takes none."""
        return machine_of_topic(name, self.groups_class, self.ledger_class)

    async def read_code(self, code: Code) -> bytes:
        """A deployed file."""
        return await self.apps.store.read(code)

    async def make_groups_topic(self, name: str) -> None:
        """With as many replicas as the cluster can have for good: so the first group waits for its nodes."""
        options = self.config.broker
        replicas = min(options.group_replicas_max, len(self.neighbours))
        try:
            await self.controller.create_topic(
                name, partitions=options.group_partitions, replicas=replicas, if_absent=True, config=TopicConfig()
            )
        except InvalidRequest as error:
            raise Unavailable(f"the first group of a cluster needs {replicas} nodes: {error}") from error

    async def _listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> None:
        routes = self.seeing.health.routes(routes)
        self._listeners.append(await self.world.network.listen(address, routes, public=public))

    # --- HTTP

    def http_app(self) -> HttpApp:
        """The application of this node's HTTP port: it calls the handlers that gRPC calls."""
        from cluster.broker.web.app import host_of, make_app  # noqa: PLC0415  a node without HTTP never loads it

        listener = self.config.http
        names = {host_of(listener.bind), host_of(listener.address)} if listener is not None else set()
        return make_app(
            self._routes,
            options=self.config.http_options,
            clock=self.world.clock,
            names=names,
            seen=self.seeing,
        )

    async def _serve_http(self, app: HttpApp) -> None:
        listener, web = self.config.http, self.world.web
        if listener is None or web is None:
            raise RefusedToStart("there is an http listener in the configuration, and nothing here that serves HTTP")
        self._listeners.append(await web.serve(app, listener.bind, self.config.http_options))

    # --- between nodes

    def send(self, to: NodeId, message: PeerMessage) -> bool:
        """To another node; False if it is lost at once."""
        return self.links.send(to, message, lane_of(message))

    def send_quorum(self, to: NodeId, number: int, body: bytes) -> bool:
        """To another node, of that configuration of the controller's quorum, or (0) about it."""
        return self.links.send(to, QuorumEnvelope(configuration=number, body=body), Lane.CONTROL)

    def tell_all(self, report: Report) -> None:
        """To every node, this one included."""
        for node in self.links.peers():
            self.send(node, report)
        self.controller.on_report(report)
        self._look_if_draining()

    def on_message(self, node: NodeId, message: PeerMessage) -> None:
        """Another node says something."""
        match message:
            case ReplicaEnvelope():
                self.broker.on_peer_message(message, node)
            case QuorumEnvelope(configuration=number, body=body):
                self.controller.receive(node, number, body)
            case Report():
                self.broker.on_report(message)
                self.controller.on_report(message)
                self._look_if_draining()

    def on_up(self, node: NodeId, incarnation: int) -> None:
        """The link to another node came up."""
        log_event.info("peer_up", peer=node, incarnation=incarnation)
        self.controller.peer_up(node)
        self.broker.on_peer_up(node)
        self._look_if_draining()

    def on_down(self, node: NodeId) -> None:
        """It was lost."""
        log_event.info("peer_down", peer=node)
        self.controller.peer_down(node)
        self.broker.on_peer_down(node)

    # --- with the controller

    async def _register(self) -> None:
        """Make this node known, again and again until the controller has taken it; from then on, act on what it says.

        Not before: a node that starts is told all commands anew, from the first one, and what was is not what is. A
        topic that was deleted since would be made again, and a limit that is no more would delete records.
        """
        me = NodeInfo(
            node=self.me,
            client_address=self.config.client.address,
            peer_address=self.config.peer.address,
            rack=self.config.rack,
            version=VERSION,
            directory=self.directory,
        )
        while True:
            try:
                await self.controller.register_node(me)
            except RefusedToStart:
                raise  # another data directory is this node's: it must not run
            except NodeRemoved as error:
                raise RefusedToStart(error.message) from error
            except RiverrunError as error:
                log_event.debug("register_again", reason=error.reason)
                await asyncio.sleep(self.config.broker.tick_s * 4)
            else:
                self.controller.subscribe(self._on_metadata)
                return

    def _on_metadata(self, delta: Delta) -> None:
        """A decision: links first, so that whoever it names can be reached."""
        if delta.nodes or delta.gone or delta.resync:
            self._look_at_nodes()
        self.broker.apply(delta)
        self._look_if_draining()

    def _look_at_nodes(self) -> None:
        if self.neighbours.record(self.controller.state.nodes):
            self.links.set_peers(self.neighbours.others())

    def _look_if_draining(self) -> None:
        """Something was decided or told: what this node still leads may be led elsewhere now."""
        if self.controller.operations.is_draining():
            self._balancing.ring()

    async def _balance(self) -> None:
        """Where this node leads more than its share, hand over: Raft elects, this only asks."""
        wait_s = interval_s = self.config.controller.balance_interval_s
        behind_s_max = self.config.controller.transfer_behind_s_max
        due_s = self.world.clock.monotonic_s() + wait_s
        while True:
            rung = await self._balancing.sleep(wait_s)
            now_s = self.world.clock.monotonic_s()
            at_once = rung and now_s < due_s
            due_s = due_s if at_once else now_s + interval_s
            wait_s = due_s - now_s if at_once else interval_s
            if self.seeing.stopping:
                continue  # see `leaving`
            for partition, node in self.controller.operations.transfers(at_once=at_once):
                if self.broker.may_transfer(partition, node, behind_s_max=behind_s_max):
                    self.broker.transfer(partition, node)
            if at_once:
                await asyncio.sleep(self.config.broker.tick_s)  # what is told together is looked at together
