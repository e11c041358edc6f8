"""The controller of a node: what it asks of the quorum, and, where the quorum's leader is, what it notices and decides.

Every node has one. Requests become commands, proposed again under the same number while their outcome is unknown. The
leader's also watches (`watching`). Only changes of state become commands.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import count

import structlog

from cluster.config import ControllerOptions
from cluster.controller.commands import (
    RULES,
    AllocateProducers,
    AlterTopic,
    Answer,
    Barrier,
    Command,
    CreateTopic,
    DeleteTopic,
    DeployApp,
    DraftedStage,
    OpenProducer,
    Proposal,
    RegisterNode,
    RemoveApp,
    SetPaused,
    decode_answer,
    encode,
)
from cluster.controller.folding import Folding
from cluster.controller.nodes import removed
from cluster.controller.observing import Observations
from cluster.controller.operations import Operations
from cluster.controller.placement import place
from cluster.controller.quorum import Fold, Quorum
from cluster.controller.watching import Watching
from cluster.errors import REASONS as ERRORS
from cluster.errors import InvalidRequest, NodeRemoved, OutcomeUnknown, RiverrunError, Unavailable
from cluster.metadata import App, Deciding, Delta, Node, Report, Topic, TopicConfig
from cluster.types import TOPIC_ID_BYTES, NodeId, ProducerId, TopicId
from cluster.world import Clock, Random

log_event = structlog.get_logger()
CLIENT_BYTES = 8
WAIT_AGAIN_S = 0.05


class Controller:
    """One node's part in deciding.

    `make_quorum` gets what commands fold into; `configured`: whom the node's configuration names.
    """

    def __init__(
        self,
        *,
        me: NodeId,
        make_quorum: Callable[[Fold], Quorum],
        clock: Clock,
        random: Random,
        options: ControllerOptions,
        configured: Collection[NodeId] = (),
    ) -> None:
        self._folding = Folding()
        self.state = self._folding.state
        self._me = me
        self._clock = clock
        self._random = random
        self._options = options
        self._quorum = make_quorum(self._folding)
        self._client = random.randbytes(CLIENT_BYTES)
        self._numbers = count(1)
        self.observed = Observations(me, options)
        self.operations = Operations(
            me=me,
            state=self.state,
            observed=self.observed,
            decide=self._decide_and_hear,
            deciding=self.quorum_members,
            configured=configured,
            clock=clock,
            options=options,
        )
        self._no_majority_since_s: float | None = None
        self._watching = Watching(
            state=self.state,
            quorum=self._quorum,
            observed=self.observed,
            operations=self.operations,
            decide=self._decide,
            clock=clock,
            options=options,
        )
        self._folding.subscribe(self._watching.on_decided)

    # --- from the node

    def start(self) -> None:
        """Read what is on disk. CorruptStorage if it is damaged."""
        self._quorum.start()

    def stop(self) -> None:
        """End."""
        self._quorum.stop()

    async def run(self) -> None:
        """Tick and watch, until cancelled."""
        watching = asyncio.create_task(self._watching.run(), name="controller/watch")
        try:
            while True:
                self._quorum.tick()
                self._look_for_majority()
                await asyncio.sleep(self._options.tick_s)
                if watching.done():
                    watching.result()
        finally:
            watching.cancel()

    def subscribe(self, subscriber: Callable[[Delta], None]) -> None:
        """Everything there is, now, and every change from now on."""
        self._folding.subscribe(subscriber)

    def receive(self, node: NodeId, number: int, body: bytes) -> None:
        """A message of the quorum, or about it."""
        try:
            self._quorum.receive(node, number, body)
        except InvalidRequest as error:
            log_event.warning("quorum_message_refused", peer=node, detail=error.message)

    def peer_up(self, node: NodeId) -> None:
        """The link to a node came up."""
        self.observed.peer_up(node, self._clock.monotonic_s())
        self._quorum.peer_up(node)

    def peer_down(self, node: NodeId) -> None:
        """It was lost."""
        self.observed.peer_down(node, self._clock.monotonic_s())
        self._quorum.peer_down(node)

    def on_report(self, report: Report) -> None:
        """A node tells what happened to its replicas."""
        self.observed.take(report, self.state.deleted)
        for replica in report.lost:
            log_event.warning("replica_reported_lost", peer=report.node, replica=replica)
        if any(node.draining for node in self.state.nodes.values()):
            self._watching.look_at_once()

    def metadata_version(self) -> int:
        """See AppDecisions."""
        return self.state.version

    def controller_node(self) -> NodeId | None:
        """Where decisions are made now, if that is known."""
        return self._quorum.leader()

    def deciding(self) -> Deciding:
        """Whether anything can be decided now, as far as this node knows."""
        members, heard, leader = self._quorum.members(), self.observed.up(), self._quorum.leader()
        silent = tuple(node for node in members if node not in heard)
        return Deciding(
            members=members,
            silent=silent,
            heard=frozenset(heard),
            leader=leader if leader in heard else None,
            recoveries=tuple(self.state.recoveries),
            lost=self.observed.lost(),
        )

    def _is_cut_off(self) -> bool:
        """Whether no majority has been heard for so long that nobody has to wait for one."""
        since_s = self._no_majority_since_s
        return since_s is not None and self._clock.monotonic_s() - since_s >= self._options.no_majority_wait_s

    def _look_for_majority(self) -> None:
        if self.deciding().has_majority:
            self._no_majority_since_s = None
        elif self._no_majority_since_s is None:
            self._no_majority_since_s = self._clock.monotonic_s()

    def quorum_members(self) -> tuple[NodeId, ...]:
        """The nodes that decide."""
        return self._quorum.members()

    def gone_s(self, node: NodeId) -> float | None:
        """For how long the link to a node has been down; None: it is up, or never was."""
        return self.observed.gone_s(node, self._clock.monotonic_s())

    def refuse_gone(self, node: NodeId) -> None:
        """NodeRemoved if that node was removed for good, as far as this one knows."""
        if node in self.state.gone_nodes:
            raise NodeRemoved(removed(node))

    # --- decisions

    async def create_topic(
        self, name: str, *, partitions: int, replicas: int, if_absent: bool, config: TopicConfig
    ) -> Topic:
        """See `cluster.broker.admin_service.Decisions`."""
        partitions = partitions or self._options.partitions_default
        known = self.state.by_name.get(name) if if_absent else None
        if known is not None:  # another one is not wanted: whether there is room, and nodes, for it does not matter
            replicas = replicas or self.state.topics[known].replicas
            placements: list[list[int]] = [[] for _ in range(partitions)]
        else:
            replicas, placements = await self._placed_by_newest(partitions, replicas)
        command = CreateTopic(
            name=name,
            id=self._random.randbytes(TOPIC_ID_BYTES),
            placements=placements,
            replicas=replicas,
            if_absent=if_absent,
            config=config,
            rules=RULES,
        )
        return await self._decide_topic(name, command)

    async def _placed_by_newest(self, partitions: int, replicas: int) -> tuple[int, list[list[int]]]:
        """It is refused by what was decided, not by what this node has heard of it."""
        if partitions > (most := self._options.partitions_per_topic_max):
            raise InvalidRequest(f"a topic has at most {most} partitions, not {partitions}")
        try:
            return self._placed(partitions, replicas)
        except InvalidRequest:
            await self._decide_and_hear(Barrier())
            return self._placed(partitions, replicas)

    def _placed(self, partitions: int, replicas: int) -> tuple[int, list[list[int]]]:
        """How many replicas a new topic gets, and where. InvalidRequest if there is no room for it."""
        options = self._options
        if len(self.state.topics) >= options.topics_max:
            raise InvalidRequest(f"the cluster holds its {options.topics_max} topics already")
        held = sum(len(topic.partitions) for topic in self.state.topics.values())
        if held + partitions > options.partitions_max:
            raise InvalidRequest(f"the cluster holds at most {options.partitions_max} partitions; it has {held}")
        alive = sum(node.usable for node in self.state.nodes.values())
        if not alive:
            raise Unavailable("the cluster is still forming")
        replicas = replicas or min(options.replicas_default, alive)
        return replicas, place(
            self.state.nodes.values(), self.state.topics.values(), partitions=partitions, replicas=replicas
        )

    async def alter_topic(self, name: str, *, config: TopicConfig, unset: Sequence[str]) -> Topic:
        """See Decisions."""
        return await self._decide_topic(name, AlterTopic(name=name, config=config, unset=list(unset)))

    async def _decide_topic(self, name: str, command: Command) -> Topic:
        answer = await self._decide(command)
        await self._wait_version(answer.version)
        topic = self.state.topics.get(TopicId(answer.topic))
        if topic is None:  # not even if there is another one of that name by now
            raise OutcomeUnknown(f"that was done, and the topic {name!r} was deleted right after it")
        return topic

    async def delete_topic(self, name: str) -> None:
        """See Decisions."""
        answer = await self._decide(DeleteTopic(name=name))
        await self._wait_version(answer.version)

    async def open_producer(self, name: str) -> tuple[ProducerId, int]:
        """See Decisions."""
        producer, epoch = (await self._decide(OpenProducer(name=name))).numbers
        return ProducerId(producer), epoch

    async def allocate_producer_ids(self) -> range:
        """See Decisions."""
        first, end = (await self._decide(AllocateProducers(count=self._options.producer_ids_per_range))).numbers
        return range(first, end)

    async def deploy_app(self, name: str, stages: Sequence[DraftedStage]) -> App:
        """See `cluster.processing.deployment.AppDecisions`."""
        return await self._decide_app(name, DeployApp(name=name, stages=list(stages)))

    async def set_paused(self, app: str, stages: Sequence[tuple[str, int]], *, paused: bool) -> App:
        """See AppDecisions."""
        return await self._decide_app(app, SetPaused(app=app, stages=list(stages), paused=paused))

    async def _decide_app(self, name: str, command: Command) -> App:
        answer = await self._decide(command)
        await self._wait_version(answer.version)
        app = self.state.apps.get(name)
        if app is None:
            raise OutcomeUnknown(f"that was done, and the app {name!r} was removed right after it")
        return app

    async def remove_app(self, app: str, stages: Sequence[tuple[str, int]], topics: Sequence[TopicId]) -> None:
        """See AppDecisions."""
        answer = await self._decide(RemoveApp(app=app, stages=list(stages), topics=[bytes(topic) for topic in topics]))
        await self._wait_version(answer.version)

    async def register_node(self, node: Node) -> None:
        """Make a node known with its addresses; after it, this node has heard of all that was decided before."""
        answer = await self._decide(
            RegisterNode(
                node=node.node,
                client_address=node.client_address,
                peer_address=node.peer_address,
                version=node.version,
                rack=node.rack,
                directory=node.directory,
            )
        )
        await self._wait_version(answer.version)

    # --- the quorum's side

    async def _decide(self, command: Command) -> Answer:
        """Propose until the outcome is known; the same number all the time, so that it is done once.

        OutcomeUnknown if it is not known in time, be it that only one of many attempts may have been heard. Where no
        majority of the quorum has been heard for a while, it is tried once.
        """
        data = encode(Proposal(client=self._client, number=next(self._numbers), command=command))
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._options.command_timeout_s
        doubt: OutcomeUnknown | None = None
        while True:
            left_s = end_s - loop.time()
            try:
                result = await self._quorum.propose(data, timeout_s=max(min(left_s, 1.0), 0.01))
            except (OutcomeUnknown, Unavailable) as error:
                doubt = error if isinstance(error, OutcomeUnknown) else doubt
                trouble = self.deciding().trouble
                if (trouble and self._is_cut_off()) or loop.time() + WAIT_AGAIN_S >= end_s:
                    raise _told(doubt or error, trouble) from None
                await asyncio.sleep(WAIT_AGAIN_S)
                continue
            answer = decode_answer(result)
            if answer.reason:
                raise ERRORS.get(answer.reason, RiverrunError)(answer.message)
            return answer

    async def _decide_and_hear(self, command: Command) -> Answer:
        answer = await self._decide(command)
        await self._wait_version(answer.version)
        return answer

    async def _wait_version(self, version: int) -> None:
        """Return when this node has applied that version; OutcomeUnknown if that takes too long, for it was done."""
        try:
            async with asyncio.timeout(self._options.command_timeout_s):
                while self.state.version < version:
                    await self._folding.changed.wait()
        except TimeoutError:
            raise OutcomeUnknown("it was decided, but this node has not heard of it yet") from None


def _told(error: RiverrunError, trouble: str) -> RiverrunError:
    """The same error, with what stands in the way."""
    if not trouble:
        return error
    unknown = "it is not known whether that was decided: " if isinstance(error, OutcomeUnknown) else ""
    return type(error)(unknown + trouble)
