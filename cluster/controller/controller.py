"""The controller of a node: what it asks of the quorum, and, where the quorum's leader is, what it notices and decides.

Every node has one. Requests become commands, proposed again under the same number while their outcome is unknown. The
leader's also watches: what reports say becomes facts (`observing`), and what should be elsewhere moves (`planning`).
Only changes of state become commands; a plan is its state, so whoever decides next goes on with it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count

import structlog

from cluster.actor import Alarm
from cluster.config import ControllerOptions
from cluster.controller.commands import (
    AllocateProducers,
    AlterTopic,
    Answer,
    Command,
    CreateTopic,
    DeleteTopic,
    DeployApp,
    DraftedStage,
    MoveReplicas,
    OpenProducer,
    PreferLeaders,
    Proposal,
    RegisterNode,
    RemoveApp,
    Seal,
    SetPaused,
    decode_answer,
    encode,
)
from cluster.controller.folding import Folding
from cluster.controller.leading import preferred
from cluster.controller.majority import Majority
from cluster.controller.nodes import removed
from cluster.controller.observing import Observations
from cluster.controller.operations import Operations
from cluster.controller.placement import place
from cluster.controller.planning import Plan
from cluster.controller.quorum import Fold, Quorum
from cluster.controller.seats import plan_seats, seal
from cluster.errors import REASONS as ERRORS
from cluster.errors import InvalidRequest, NodeRemoved, OutcomeUnknown, RiverrunError, Unavailable
from cluster.metadata import App, Deciding, Delta, Node, Report, Topic, TopicConfig
from cluster.types import TOPIC_ID_BYTES, NodeId, ProducerId, TopicId
from cluster.world import Clock, Random

log_event = structlog.get_logger()
CLIENT_BYTES = 8
WAIT_AGAIN_S = 0.05
PLAN_ANYWAY_S = 10.0
"""Who leads is no decision, and may let the plan go on: it looks again so often."""
PLAN_AGAIN_S = 0.1
PLAN_REST = 10
"""A drain is planned anew whenever something is told, after so long, and so many times as long as a plan takes."""
PREFERRED_AT_ONCE_MAX = 1_000
"""Of one command."""


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
        self._majority = Majority(self._quorum, self.state, self.observed, clock, options)
        self._look = Alarm()
        self._plan_due_s = 0.0
        self._plan_again_s = 0.0
        """Not before, whatever is told."""
        self._rested: object = None
        """What was known when there was nothing to plan."""
        self._folding.subscribe(self._on_decided)

    # --- from the node

    def start(self) -> None:
        """Read what is on disk. CorruptStorage if it is damaged."""
        self._quorum.start()

    def stop(self) -> None:
        """End."""
        self._quorum.stop()

    async def run(self) -> None:
        """Tick and watch, until cancelled."""
        watching = asyncio.create_task(self._watch_all(), name="controller/watch")
        try:
            while True:
                self._quorum.tick()
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
        self.observed.take(report)
        for replica in report.lost:
            log_event.warning("replica_reported_lost", peer=report.node, replica=replica)
        if any(node.draining for node in self.state.nodes.values()):
            self._look_at_once()

    def metadata_version(self) -> int:
        """See AppDecisions."""
        return self.state.version

    def controller_node(self) -> NodeId | None:
        """Where decisions are made now, if that is known."""
        return self._quorum.leader()

    def deciding(self) -> Deciding:
        """Whether anything can be decided now, as far as this node knows."""
        return self._majority.now()

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
            replicas, placements = self._placed(partitions, replicas)
        command = CreateTopic(
            name=name,
            id=self._random.randbytes(TOPIC_ID_BYTES),
            placements=placements,
            replicas=replicas,
            if_absent=if_absent,
            config=config,
        )
        return await self._decide_topic(name, command)

    def _placed(self, partitions: int, replicas: int) -> tuple[int, list[list[int]]]:
        """How many replicas a new topic gets, and where. InvalidRequest if there is no room for it."""
        options = self._options
        if partitions > options.partitions_per_topic_max:
            raise InvalidRequest(f"a topic has at most {options.partitions_per_topic_max} partitions, not {partitions}")
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
                if self._majority.is_gone() or loop.time() + WAIT_AGAIN_S >= end_s:
                    raise self._majority.told(doubt or error) from None
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

    # --- watching, where the leader is

    def _on_decided(self, delta: Delta) -> None:
        """A drain begins with who shall lead instead."""
        if any(node.draining for node in delta.nodes):
            self._look_at_once()

    def _look_at_once(self) -> None:
        self._rested = None
        self._plan_due_s = min(self._plan_due_s, self._plan_again_s)
        self._look.ring()

    async def _watch_all(self) -> None:
        while True:
            await self._look.sleep(self._options.tick_s * 5)
            self._majority.look()
            if not self._quorum.is_leader():
                continue
            began_s = self._clock.monotonic_s()
            done = await self._decide_all(list(self.observed.facts(self.state, self._quorum.members(), began_s)))
            began_s = self._clock.monotonic_s()
            if done and began_s >= self._plan_due_s:
                self._plan_due_s = began_s + self._options.plan_interval_s
                commands = self._planned()
                took_s = self._clock.monotonic_s() - began_s
                self._plan_again_s = began_s + max(PLAN_AGAIN_S, PLAN_REST * took_s)
                await self._decide_all(commands)

    async def _decide_all(self, commands: Iterable[Command]) -> bool:
        """In order, up to the first one that failed; whether there was none."""
        for command in commands:
            try:
                await self._decide(command)
            except RiverrunError as error:
                log_event.info("notice_again", command=type(command).__name__, reason=error.reason)
                return False
        return True

    def _planned(self) -> list[Command]:
        """What is next, if anything has changed since nothing was."""
        now_s = self._clock.monotonic_s()
        situation = self.observed.situation(self.state, self.operations.leading(), now_s)
        seen = (self.state.version, situation.lost, situation.gone, now_s // PLAN_ANYWAY_S)
        if seen == self._rested:
            return []
        commands: list[Command] = []
        if leaders := preferred(situation, PREFERRED_AT_ONCE_MAX):
            commands.append(PreferLeaders(leaders=leaders))
        if (sealing := self._seal(now_s)) is not None:
            commands.append(sealing)
        if moves := Plan(situation).moves:
            commands.append(MoveReplicas(moves=moves))
            log_event.info("replicas_moved", partitions=len(moves))
        self._rested = None if commands else seen
        return commands

    def _seal(self, now_s: float) -> Seal | None:
        """The next change of the quorum, or its journal's compaction; None: neither is due."""
        options, state = self._options, self.state
        deciding = self._quorum.members()
        lost = self.observed.lost_nodes(now_s, options.seat_lost_after_s, deciding)
        planned = plan_seats(state.nodes, state.quorum, deciding, lost=lost)
        reached = {*self.observed.up(), *deciding}
        if planned is not None and all(node in reached for node, _ in planned.seats):
            log_event.info("quorum_changes", configuration=planned.number, seats=planned.seats)
            return planned
        entries, size = self._quorum.weight()
        whole = all(node in state.nodes and state.nodes[node].directory for node in deciding)
        if whole and (entries > options.seal_after_commands or size > options.seal_after_bytes):
            return seal(state.nodes, state.quorum, deciding)
        return None
