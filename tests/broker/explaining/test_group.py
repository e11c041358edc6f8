"""What is drawn from a group as its coordinator describes it, and from a task as its node does."""

from typing import Any

from cluster.broker.explaining.findings import Explanation, Finding, Severity, explanation
from cluster.broker.explaining.group import explain_group
from cluster.broker.explaining.task import explain_task
from cluster.config import ExplainOptions
from cluster.wire.api import app_pb2, group_pb2

LIMITS = ExplainOptions()
WELL = explanation("partition __groups/3", [], ["leader: node 1"])
NO_QUORUM = Finding(code="NO_QUORUM", severity=Severity.CRITICAL, cause="c", consequence="s", advice="a")
BROKEN = explanation("partition orders/1", [NO_QUORUM], ["no leader"])


def part(number: int, member: int = 1, *, lag: int = 0, waited_s: int = 0, quiet_s: int = 0, **more: Any) -> Any:
    """A partition of a group, held by a member."""
    facts = {"end": 100 + lag, "lag_ms": waited_s * 1_000, "quiet_ms": quiet_s * 1_000} | more
    return group_pb2.GroupPartition(topic="orders", partition=number, member=member, position=100, **facts)


def explained(parts: list[Any], members: tuple[group_pb2.Member, ...] | None = None, **more: Any) -> Explanation:
    """One group with two members, if nothing else is said."""
    if members is None:
        members = tuple(group_pb2.Member(id=n, client=f"m-{n}", connected=True) for n in (1, 2))
    group = group_pb2.Group(name="g", members=members, partitions=parts, coordinator=3)
    known = {"home": WELL, "inputs": {}, "why_unknown": ""} | more
    return explain_group("g", group, limits=LIMITS, **known)


def codes(found: Explanation) -> list[str]:
    """In their order."""
    return [finding.code for finding in found.findings]


def test_a_member_that_goes_on_is_not_stuck() -> None:
    """Neither one that is slow, nor one that was idle until a moment ago, nor one that has nothing to do."""
    parts = [
        part(0, lag=5_000, waited_s=600, quiet_s=2),
        part(1, lag=3, waited_s=1, quiet_s=3_600),
        part(2, quiet_s=3_600),
    ]

    assert [] == codes(explained(parts))
    assert "2 members, 3 partitions, 5,003 records wait; the oldest has waited for 10 min" in explained(parts).state[0]


def test_a_member_that_is_stuck_in_one_partition() -> None:
    """The others go on; what it was asked to give back is said with it, once."""
    stuck = part(0, lag=50, waited_s=40, quiet_s=30, asked_back=True)
    found = explained([stuck, part(1, lag=1, waited_s=1)])

    assert ["MEMBER_STUCK"] == codes(found)
    cause = found.findings[0].cause
    assert cause.startswith(
        "member 1 (m-1) is connected and holds orders/0, of which it has committed nothing for 30 s"
    )
    assert "while 50 records wait, the oldest for 40 s (its other 1 partition go on)" in cause
    assert "Another member waits for orders/0" in found.findings[0].consequence
    assert "--topic orders --partition 0 --to 101`" in found.findings[0].advice
    assert ["REBALANCE_WAITS"] == codes(explained([part(0, asked_back=True)]))


def test_members_that_are_away_and_none_at_all() -> None:
    """What waits meanwhile, and for how long."""
    away = (group_pb2.Member(id=1, client="m-1", grace_left_ms=3_000),)
    found = explained([part(0, lag=9, waited_s=2)], away)
    assert ["MEMBER_GONE_IN_GRACE"] == codes(found)
    assert "may come back for another 3 s" in found.findings[0].cause

    assert (["NO_MEMBERS"], False) == (codes(nobody := explained([part(0, 0, lag=9, waited_s=2)], ())), nobody.healthy)
    assert (["NO_MEMBERS"], True) == (codes(nobody := explained([part(0, 0)], ())), nobody.healthy)
    assert "riverrun group delete g`" in nobody.findings[0].advice


def test_partitions_without_a_leader_are_explained_with_it() -> None:
    """And so is the coordinator's."""
    unknown = group_pb2.GroupPartition(topic="orders", partition=1, member=1, position=100)
    found = explained([part(0), unknown], inputs={("orders", 1): BROKEN})
    assert ["INPUT_WITHOUT_LEADER", "NO_QUORUM"] == codes(found)
    assert "partition orders/1" == found.findings[1].about

    found = explain_group("g", None, why_unknown="try again", home=BROKEN, inputs={}, limits=LIMITS)
    assert ["COORDINATOR_UNKNOWN", "NO_QUORUM"] == codes(found)
    assert ("partition orders/1: no leader",) == found.state


def task(state: int, why: str = "", **more: Any) -> Explanation:
    """The first task of a stage."""
    stage = app_pb2.Stage(
        name="totals",
        processor="totals",
        version=2,
        code=app_pb2.StageCode(file_name="retail.py"),
        inputs=[app_pb2.StageInput(topic="orders")],
        outputs=[app_pb2.StageOutput(topic="totals")],
        outside=more.pop("outside", ""),
    )
    outputs = more.pop("unled", {})
    one = app_pb2.Task(state=state, why=why, node=2, lag_records=7, lag_s=90, **more)  # type: ignore[arg-type]
    return explain_task("retail", stage, one, log=WELL, inputs={}, outputs=outputs)


def test_what_keeps_a_task() -> None:
    """By what it says itself."""
    waiting = app_pb2.TASK_STATE_WAITING
    held_up = task(
        waiting, "what it has put out is not at totals/0 yet; nothing more is read", unshipped_bytes=8 * 10**6
    )
    assert ["TASK_BACKPRESSURE"] == codes(held_up)
    assert "(8 MB are committed and not there yet)" in held_up.findings[0].cause
    assert "`riverrun explain partition totals/N`" in held_up.findings[0].advice
    assert "7 records wait, the oldest for 90 s" == held_up.findings[0].consequence
    assert ["TASK_WAITS"] == codes(task(waiting, "its code is being started"))
    away = task(waiting, "connection refused", outside="postgres orders")
    assert "is postgres orders there" in away.findings[0].advice
    assert ["TASK_WAITS_FOR_WORKER"] == codes(task(waiting, "no worker for totals@2 of retail.py is connected"))
    refused = task(app_pb2.TASK_STATE_STOPPED, "outputs to totals/0 are refused: FENCED")
    assert ["TASK_BACKPRESSURE"] == codes(refused)
    assert ["OUTPUT_WITHOUT_LEADER", "NO_QUORUM"] == sorted(
        codes(task(app_pb2.TASK_STATE_RUNNING, unled={("orders", 1): BROKEN})), reverse=True
    )
    assert [] == codes(task(app_pb2.TASK_STATE_FINISHED))
