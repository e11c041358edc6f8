"""ExplainService: any node takes the question, asks all that have a part in it, and says what comes of their answers.

Groups and tasks are asked as people ask for them (DescribeGroup, DescribeApp), which finds whoever keeps or runs them.
"""

import asyncio
from collections.abc import Iterable, Mapping

from cluster.broker.broker import Broker
from cluster.broker.explaining.asking import LOOK_AT_NODE, Asking
from cluster.broker.explaining.decided import Decided, decided_by
from cluster.broker.explaining.findings import Explanation, Severity
from cluster.broker.explaining.group import explain_group
from cluster.broker.explaining.looking import Looking
from cluster.broker.explaining.node import explain_node
from cluster.broker.explaining.partition import explain_partition
from cluster.broker.explaining.task import explain_task
from cluster.broker.forwarding import OwnCall
from cluster.broker.groups.home import check_name, groups_topic, home_of
from cluster.config import ExplainOptions
from cluster.errors import InvalidRequest, RiverrunError, UnknownApp, UnknownGroup
from cluster.metadata import App, Stage
from cluster.types import NodeId, PartitionId
from cluster.wire import api
from cluster.wire.api import app_pb2, cluster_pb2, explain_pb2, group_pb2
from cluster.world import Call, Route

EXPLAIN = "/riverrun.v1.ExplainService/Explain"
DESCRIBE_GROUP = "/riverrun.v1.GroupService/DescribeGroup"
DESCRIBE_APP = "/riverrun.v1.AppService/DescribeApp"
LIST_REASSIGNMENTS = "/riverrun.v1.ClusterService/ListReassignments"
SEVERITIES = {
    Severity.NOTE: explain_pb2.SEVERITY_NOTE,
    Severity.WARNING: explain_pb2.SEVERITY_WARNING,
    Severity.CRITICAL: explain_pb2.SEVERITY_CRITICAL,
}
Place = tuple[str, int]
"""A topic's name and a partition's number."""
Looks = list[explain_pb2.NodeLook]


class ExplainService:
    """Handlers of Explain and LookAtNode. `others`: this node's other methods, by their full names."""

    def __init__(
        self,
        *,
        broker: Broker,
        looking: Looking,
        asking: Asking,
        others: Mapping[str, Route],
        options: ExplainOptions,
    ) -> None:
        self._broker = broker
        self._looking = looking
        self._asking = asking
        self._others = others
        self._options = options

    def routes(self) -> Mapping[str, Route]:
        """What the client listener serves of it."""
        return {EXPLAIN: Route(unary=self.explain), LOOK_AT_NODE: Route(unary=self.look_at_node)}

    async def look_at_node(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(explain_pb2.LookAtNodeRequest, data)
        return explain_pb2.LookAtNodeResponse(node=await self._looking.look(request)).SerializeToString()

    async def explain(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(explain_pb2.ExplainRequest, data)
        self._broker.directory.check_informed()
        match request.WhichOneof("subject"):
            case "partition":
                found, looks = await self._partition(request.partition.topic, request.partition.partition)
            case "group":
                found, looks = await self._group(request.group)
            case "task":
                found, looks = await self._task(request.task)
            case "node":
                found, looks = await self._node(NodeId(request.node))
            case _:
                raise InvalidRequest("what is to be explained? A partition, a group, a task or a node")
        return _answer(found, looks, self._broker.me).SerializeToString()

    # --- each kind

    async def _partition(self, name: str, number: int) -> tuple[Explanation, Looks]:
        topic = self._broker.directory.topic(name)
        self._broker.directory.partition(topic, number)
        placement = topic.partitions[number]
        request = explain_pb2.LookAtNodeRequest(
            partitions=[explain_pb2.PartitionSubject(topic=topic.name, partition=number)]
        )
        looks = await self._asking.ask({replica.node for replica in placement.running}, request)
        return explain_partition(topic.name, placement, looks, self._options, await self._decided()), looks

    async def _group(self, name: str) -> tuple[Explanation, Looks]:
        check_name(name)
        topic = groups_topic(self._broker)
        if topic is None:
            raise UnknownGroup(f"there is no group {name!r}")
        asked = group_pb2.DescribeGroupRequest(group=name).SerializeToString()
        (home, looks), (answer, why) = await asyncio.gather(
            self._partition(topic.name, home_of(topic, name).number), self._described(DESCRIBE_GROUP, asked)
        )
        group = group_pb2.DescribeGroupResponse.FromString(answer).group if answer is not None else None
        unknown = (
            [(part.topic, part.partition) for part in group.partitions if not part.HasField("end")] if group else []
        )
        inputs, more = await self._parts(unknown)
        found = explain_group(name, group, why_unknown=why, home=home, inputs=inputs, limits=self._options)
        return found, _joined(looks, more)

    async def _task(self, wanted: explain_pb2.TaskSubject) -> tuple[Explanation, Looks]:
        app, stage = self._stage(wanted)
        log = self._broker.directory.topics.get(stage.topic)
        if log is None:
            raise InvalidRequest(f"the stage {stage.name!r} of {app.name!r} is just being removed")
        asked = app_pb2.DescribeAppRequest(name=app.name).SerializeToString()
        (log_found, looks), (answer, why) = await asyncio.gather(
            self._partition(log.name, wanted.task), self._described(DESCRIBE_APP, asked)
        )
        told, task = _told(answer, stage, wanted.task, why)
        (inputs, read), (outputs, written) = await asyncio.gather(
            self._parts(_ends_unknown(told, task)), self._parts(self._not_led(told))
        )
        found = explain_task(app.name, told, task, log=log_found, inputs=inputs, outputs=outputs)
        return found, _joined(looks, [*read, *written])

    async def _node(self, node: NodeId) -> tuple[Explanation, Looks]:
        nodes = self._broker.directory.nodes
        if node not in nodes:
            there = ", ".join(str(number) for number in sorted(nodes))
            raise InvalidRequest(f"there is no node {node}; there are {there}")
        looks = await self._asking.ask(set(nodes), explain_pb2.LookAtNodeRequest(all_that_wait=True))
        return explain_node(node, looks, self._options, await self._decided()), looks

    # --- what they need

    def _stage(self, wanted: explain_pb2.TaskSubject) -> tuple[App, Stage]:
        apps = self._broker.directory.apps
        app = apps.get(wanted.app)
        if app is None:
            raise UnknownApp(f"there is no app {wanted.app!r}; deployed are: {', '.join(sorted(apps)) or 'none'}")
        versions = [
            stage for stage in app.stages if stage.name == wanted.stage and wanted.version in {0, stage.version}
        ]
        if not versions:
            there = ", ".join(f"{stage.name}@{stage.version}" for stage in app.stages)
            raise UnknownApp(f"app {wanted.app!r} has no stage {wanted.stage!r} of that version; it has {there}")
        stage = max(versions, key=lambda stage: stage.version)
        if wanted.task >= stage.tasks:
            raise InvalidRequest(
                f"{wanted.stage!r} has {stage.tasks} tasks, numbered from 0; there is no {wanted.task}"
            )
        return app, stage

    async def _decided(self) -> Decided:
        directory, told = self._broker.directory, cluster_pb2.ListReassignmentsResponse()
        if any(node.draining for node in directory.nodes.values()):
            answer, _ = await self._described(LIST_REASSIGNMENTS, b"")
            told = cluster_pb2.ListReassignmentsResponse.FromString(answer or b"")
        return decided_by(directory, self._broker.leaders, told)

    async def _described(self, method: str, request: bytes) -> tuple[bytes | None, str]:
        """The answer of a method of this node, or why there is none; what cannot be better in a moment is raised."""
        handler = self._others[method].unary
        assert handler is not None, f"{method} has one answer"
        wait_s = self._options.describe_wait_s_max
        try:
            async with asyncio.timeout(wait_s):
                return await handler(request, OwnCall(wait_s)), ""
        except TimeoutError:
            return None, f"nothing came within {wait_s:g} s"
        except RiverrunError as error:
            if not error.retry and error.reason not in {"OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED"}:
                raise
            return None, error.message

    def _not_led(self, stage: app_pb2.Stage) -> Iterable[Place]:
        """Partitions that the stage writes, and that nobody is known to lead."""
        by_name = self._broker.directory.by_name
        for topic in [by_name[output.topic] for output in stage.outputs if output.topic in by_name]:
            for placement in topic.partitions:
                if self._broker.leaders.get(PartitionId(topic.id, placement.number)) is None:
                    yield topic.name, placement.number

    async def _parts(self, places: Iterable[Place]) -> tuple[dict[Place, Explanation], Looks]:
        """The first few of them explained."""
        by_name = self._broker.directory.by_name
        chosen = [place for place in dict.fromkeys(places) if place[0] in by_name][: self._options.parts_max]
        found = await asyncio.gather(*(self._partition(*place) for place in chosen))
        return {place: part for place, (part, _) in zip(chosen, found, strict=True)}, [
            look for _, looks in found for look in looks
        ]


def _told(answer: bytes | None, stage: Stage, number: int, why: str) -> tuple[app_pb2.Stage, app_pb2.Task]:
    """The stage and its task, as the app's description has them; a task that it says nothing of is unknown."""
    unknown = app_pb2.Task(task=number, state=app_pb2.TASK_STATE_UNKNOWN, why=why or "nobody told of it")
    bare = app_pb2.Stage(name=stage.name, version=stage.version, processor=stage.name, task_count=stage.tasks)
    stages = app_pb2.DescribeAppResponse.FromString(answer).app.stages if answer is not None else ()
    told = next((one for one in stages if (one.name, one.version) == (stage.name, stage.version)), bare)
    return told, next((task for task in told.tasks if task.task == number), unknown)


def _ends_unknown(stage: app_pb2.Stage, task: app_pb2.Task) -> Iterable[Place]:
    """Partitions that the task reads, and whose leader did not say where they end."""
    for position in task.positions:
        if not position.HasField("end") and position.input < len(stage.inputs):
            yield stage.inputs[position.input].topic, position.partition


def _joined(looks: Looks, more: Looks) -> Looks:
    """One for each node, with all that was seen there."""
    by_node: dict[int, explain_pb2.NodeLook] = {}
    for look in [*looks, *more]:
        if look.node in by_node and not look.silence:
            by_node[look.node].looks.extend(look.looks)
        else:
            by_node.setdefault(look.node, look)
    return [by_node[node] for node in sorted(by_node)]


def _answer(found: Explanation, looks: Looks, me: NodeId) -> explain_pb2.ExplainResponse:
    return explain_pb2.ExplainResponse(
        subject=found.subject,
        healthy=found.healthy,
        summary=found.summary,
        findings=[
            explain_pb2.Finding(
                code=finding.code,
                severity=SEVERITIES[finding.severity],
                about=finding.about,
                cause=finding.cause,
                consequence=finding.consequence,
                advice=finding.advice,
                numbers=finding.numbers,
                nodes=finding.nodes,
            )
            for finding in found.findings
        ],
        state=found.state,
        nodes=looks,
        answered_by=me,
    )
