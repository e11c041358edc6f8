"""What is found, how much it matters, and in which order it is told. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from cluster.broker.explaining.words import counted


class Severity(IntEnum):
    """See the proto."""

    NOTE = 1
    WARNING = 2
    CRITICAL = 3


RANKS = {
    code: rank
    for rank, code in enumerate(
        (
            "NO_QUORUM",
            "COORDINATOR_UNKNOWN",
            "TASK_UNKNOWN",
            "NO_LEADER",
            "DISK_FULL",
            "NOT_COMMITTED",
            "TASK_FAILING",
            "INPUT_WITHOUT_LEADER",
            "OUTPUT_WITHOUT_LEADER",
            "MEMBER_STUCK",
            "TASK_WAITS_FOR_WORKER",
            "TASK_BACKPRESSURE",
            "TASK_WAITS",
            "NO_MEMBERS",
            "REPLICA_LOST",
            "RECOVERING",
            "REINSTALLING",
            "LAGGING_FOLLOWER",
            "NODE_DEAD",
            "NODE_SILENT",
            "NODES_CUT_OFF",
            "SLOW_DISK",
            "NODE_BUSY",
            "DRAIN_WAITS",
            "MOVE_WAITS",
            "NO_CONTROLLER",
        )
    )
}
"""Among those that matter as much: what is about the subject itself first, and then in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. `about`: "" is the subject; `numbers` have their units in their names."""

    code: str
    severity: Severity
    cause: str
    consequence: str
    advice: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    nodes: tuple[int, ...] = ()
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is told of a subject: findings in their order, and `state`, how it is now, a line for each part."""

    subject: str
    findings: tuple[Finding, ...]
    state: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is worse than a note."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)

    @property
    def summary(self) -> str:
        """In one sentence."""
        wrong = [finding for finding in self.findings if finding.severity is not Severity.NOTE]
        what = f"{counted(len(wrong), 'thing is', 'things are')} wrong" if wrong else "nothing waits"
        notes = len(self.findings) - len(wrong)
        return f"{self.subject}: {what}" + (f", {counted(notes, 'note')}" if notes else "")


def explanation(subject: str, findings: Iterable[Finding], state: Iterable[str]) -> Explanation:
    """In order, each finding once."""
    told: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        told.setdefault((finding.code, finding.about, finding.cause), finding)
    last = len(RANKS)
    order = sorted(told.values(), key=lambda found: (-found.severity, bool(found.about), RANKS.get(found.code, last)))
    return Explanation(subject=subject, findings=tuple(order), state=tuple(state))


def of_another(found: Explanation, known: Iterable[Finding] = ()) -> list[Finding]:
    """Findings of something that the subject waits for, as the subject's: what is about it says so, once."""
    here = {(finding.code, finding.nodes, finding.about) for finding in known}
    return [
        finding if finding.about else replace(finding, about=found.subject)
        for finding in found.findings
        if (finding.code, finding.nodes, finding.about) not in here
    ]


def has_no_leader(partition: Explanation) -> bool:
    """Whether that is what keeps it."""
    return any(finding.code in {"NO_QUORUM", "NO_LEADER"} and not finding.about for finding in partition.findings)
