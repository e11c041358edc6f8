"""Who waits for whom, why, and what to do: asked of any node, which asks all that have a part in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.json_format import MessageToDict

from cluster.client.calls import Calls
from cluster.config import ClientOptions
from cluster.errors import InvalidRequest, RiverrunError, UnknownApp, UnknownGroup, UnknownTopic
from cluster.types import NodeId
from cluster.wire import api
from cluster.wire.api import explain_pb2

EXPLAIN = "/riverrun.v1.ExplainService/Explain"


class Severity(Enum):
    """How much it matters."""

    UNKNOWN = "unknown"
    NOTE = "note"
    """As somebody wished it, or over by itself."""
    WARNING = "warning"
    """It works, with less than it should."""
    CRITICAL = "critical"
    """Somebody waits, and will until something is done."""


_SEVERITIES = {
    explain_pb2.SEVERITY_NOTE: Severity.NOTE,
    explain_pb2.SEVERITY_WARNING: Severity.WARNING,
    explain_pb2.SEVERITY_CRITICAL: Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One thing that is not as it should be: `code` for programs, sentences for people.

    `about`: what it is about, where that is not the subject; `numbers`: with their units last in their names.
    """

    code: str
    severity: Severity
    about: str
    cause: str
    consequence: str
    advice: str
    numbers: Mapping[str, float]
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationView:
    """What is told of a subject: `findings`, the most important first; `state`, how it is now, a line for each part.

    `looks`: what the nodes said of themselves, from which all of it was drawn, with the names of the proto.
    """

    subject: str
    healthy: bool
    summary: str
    findings: tuple[FindingView, ...]
    state: tuple[str, ...]
    looks: tuple[Mapping[str, Any], ...]
    answered_by: NodeId

    @property
    def codes(self) -> tuple[str, ...]:
        """Of the findings, in their order."""
        return tuple(finding.code for finding in self.findings)


class Explaining:
    """Each call takes `timeout_s`; None is `ClientOptions.explain_timeout_s`. Nothing is changed by it."""

    def __init__(self, calls: Calls, options: ClientOptions) -> None:
        self._calls = calls
        self._options = options

    async def explain_partition(self, topic: str, partition: int, *, timeout_s: float | None = None) -> ExplanationView:
        """One partition of a topic. UnknownTopic, UnknownPartition."""
        return await self._ask(
            {"partition": {"topic": topic, "partition": partition}}, doubt=UnknownTopic, timeout_s=timeout_s
        )

    async def explain_group(self, name: str, *, timeout_s: float | None = None) -> ExplanationView:
        """One group. UnknownGroup."""
        return await self._ask({"group": name}, doubt=UnknownGroup, timeout_s=timeout_s)

    async def explain_task(
        self, app: str, stage: str, task: int, *, version: int = 0, timeout_s: float | None = None
    ) -> ExplanationView:
        """One task of a stage; version 0: the highest there is. UnknownApp; InvalidRequest: there is no such task."""
        asked = {"app": app, "stage": stage, "version": version, "task": task}
        return await self._ask({"task": asked}, doubt=UnknownApp, timeout_s=timeout_s)

    async def explain_node(self, node: int, *, timeout_s: float | None = None) -> ExplanationView:
        """One node, by its number. InvalidRequest: there is none."""
        return await self._ask({"node": node}, timeout_s=timeout_s)

    async def _ask(
        self, subject: dict[str, Any], *, doubt: type[RiverrunError] | None = None, timeout_s: float | None
    ) -> ExplanationView:
        try:
            request = explain_pb2.ExplainRequest(**subject).SerializeToString()
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"names are text, and partitions, tasks and nodes numbers from 0: {error}") from error
        timeout_s = self._options.explain_timeout_s if timeout_s is None else timeout_s
        answer = await self._calls.call(EXPLAIN, request, timeout_s=timeout_s, repeatable=True, doubt=doubt)
        return _view(api.parse(explain_pb2.ExplainResponse, answer))


def _view(answer: explain_pb2.ExplainResponse) -> ExplanationView:
    return ExplanationView(
        subject=answer.subject,
        healthy=answer.healthy,
        summary=answer.summary,
        findings=tuple(
            FindingView(
                code=finding.code,
                severity=_SEVERITIES.get(finding.severity, Severity.UNKNOWN),
                about=finding.about,
                cause=finding.cause,
                consequence=finding.consequence,
                advice=finding.advice,
                numbers=dict(finding.numbers),
                nodes=tuple(NodeId(node) for node in finding.nodes),
            )
            for finding in answer.findings
        ),
        state=tuple(answer.state),
        looks=tuple(MessageToDict(look, preserving_proto_field_name=True) for look in answer.nodes),
        answered_by=NodeId(answer.answered_by),
    )
