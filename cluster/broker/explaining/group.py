"""Why records wait for a group: nobody reads, a member does not process, or partitions have no leader. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from cluster.broker.explaining.findings import Explanation, Finding, Severity, explanation, has_no_leader, of_another
from cluster.broker.explaining.words import counted, listed, span_ms
from cluster.config import ExplainOptions
from cluster.wire.api import group_pb2

Group = group_pb2.Group
Part = group_pb2.GroupPartition
Member = group_pb2.Member
TOLD_MAX = 5
"""Partitions that one sentence names."""


def explain_group(
    name: str,
    group: Group | None,
    *,
    why_unknown: str,
    home: Explanation,
    inputs: Mapping[tuple[str, int], Explanation],
    limits: ExplainOptions,
) -> Explanation:
    """`group` None: its coordinator did not tell, which is `why_unknown`. `inputs`: those without an end that is known.

    `home`: the partition that keeps it.
    """
    subject = f"group {name}"
    if group is None:
        findings = [
            Finding(
                code="COORDINATOR_UNKNOWN",
                severity=Severity.CRITICAL,
                cause=f"its coordinator cannot be asked: it is whoever leads {home.subject}"
                + ("" if has_no_leader(home) else f" ({why_unknown})"),
                consequence="members read on, and cannot commit, join or leave until there is one",
                advice="what keeps that partition is told below; if nothing is, ask again in a few seconds",
            )
        ]
        state = [f"{home.subject}: {line}" for line in home.state]
        return explanation(subject, [*findings, *of_another(home)], state)
    findings = [*_members(group, limits), *_released(group, limits), *_without_leader(group, inputs)]
    findings += of_another(home, findings)
    for found in inputs.values():
        findings += of_another(found, findings)
    return explanation(subject, findings, _state(group))


# --- members


def _members(group: Group, limits: ExplainOptions) -> Iterator[Finding]:
    lag = sum(_lag(part) for part in group.partitions)
    if not group.members:
        oldest = max((part.lag_ms for part in group.partitions), default=0)
        yield Finding(
            code="NO_MEMBERS",
            severity=Severity.WARNING if lag else Severity.NOTE,
            numbers={"lag_records": lag, "lag_ms": oldest},
            cause="it has no members"
            + (
                f", and {counted(lag, 'record waits', 'records wait')}, the oldest for {span_ms(oldest)}" if lag else ""
            ),
            consequence="nobody processes its topics; its positions are kept",
            advice=f"start the program that reads as this group. If none is to: `riverrun group delete {group.name}`",
        )
        return
    for member in group.members:
        held = [part for part in group.partitions if part.member == member.id]
        if not member.connected:
            yield _away(member, held)
        else:
            stuck = [part for part in held if _is_stuck(part, limits)]
            if stuck:
                yield _stuck(group, member, held, stuck)


def _away(member: Member, held: Sequence[Part]) -> Finding:
    lag = sum(_lag(part) for part in held)
    left = span_ms(member.grace_left_ms)
    return Finding(
        code="MEMBER_GONE_IN_GRACE",
        severity=Severity.WARNING if held else Severity.NOTE,
        numbers={"grace_left_ms": member.grace_left_ms, "partitions": len(held), "lag_records": lag},
        cause=f"{_name(member)} has lost its connection, and may come back for another {left}",
        consequence=f"until then nobody else gets {_places(held)}" if held else "it holds nothing that others wait for",
        advice=f"nothing: in {left} its partitions go to the other members. Did its process end, or its network?",
    )


def _is_stuck(part: Part, limits: ExplainOptions) -> bool:
    """Its records have waited for so long, and nothing of it was committed for as long."""
    return _lag(part) > 0 and min(part.quiet_ms, part.lag_ms) >= limits.stuck_ms_min


def _stuck(group: Group, member: Member, held: Sequence[Part], stuck: Sequence[Part]) -> Finding:
    quiet_ms, lag = max(part.quiet_ms for part in stuck), sum(_lag(part) for part in stuck)
    oldest_ms, others = max(part.lag_ms for part in stuck), len(group.members) - 1
    asked = [part for part in stuck if part.asked_back]
    also = f" Another member waits for {_places(asked)}, which it was asked to give back." if asked else ""
    all_of_it = len(held) == len(stuck)
    return Finding(
        code="MEMBER_STUCK",
        severity=Severity.CRITICAL,
        numbers={
            "quiet_ms": quiet_ms,
            "lag_records": lag,
            "lag_ms": oldest_ms,
            "partitions_stuck": len(stuck),
            "partitions_held": len(held),
        },
        cause=f"{_name(member)} is connected and holds {_places(stuck)}, of which it has committed nothing for "
        f"{span_ms(quiet_ms)}, while {counted(lag, 'record waits', 'records wait')}, the oldest for "
        f"{span_ms(oldest_ms)}"
        + ("" if all_of_it else f" (its other {counted(len(held) - len(stuck), 'partition')} go on)"),
        consequence=f"nobody else gets {'it' if len(stuck) == 1 else 'them'} while it is connected; records wait."
        + (f" {counted(others, 'other member is', 'other members are')} not held up." if others else "")
        + also,
        advice=f"look at the process of {member.client or 'that member'} itself: does its handler hang, wait for "
        "another service, or retry one record for ever (`py-spy dump --pid PID` for Python)? Ended (kill), it loses "
        "nothing: its partitions go to the others at its last commit. A record that it cannot handle can be skipped "
        f"when no member is there: `riverrun group reset {group.name} --topic {stuck[0].topic} --partition "
        f"{stuck[0].partition} --to {stuck[0].position + 1}`",
    )


# --- partitions


def _released(group: Group, limits: ExplainOptions) -> Iterator[Finding]:
    """Partitions that were asked back from members who have not let go of them."""
    names = {member.id: _name(member) for member in group.members}
    idle = [member for member in group.members if not any(part.member == member.id for part in group.partitions)]
    for number, name in names.items():
        held = [part for part in group.partitions if part.member == number]
        asked = [part for part in held if part.asked_back and not _is_stuck(part, limits)]
        if asked:
            waiting = listed(_name(member) for member in idle) if idle else "another member"
            yield Finding(
                code="REBALANCE_WAITS",
                severity=Severity.WARNING,
                numbers={"partitions": len(asked)},
                cause=f"{name} was asked to give back {_places(asked)}, and has not yet",
                consequence=f"{waiting} waits for {'it' if len(asked) == 1 else 'them'}",
                advice="nothing, for a moment: it finishes what it works on. If it stays so, it hangs in its handler",
            )


def _without_leader(group: Group, inputs: Mapping[tuple[str, int], Explanation]) -> Iterator[Finding]:
    unknown = [part for part in group.partitions if not part.HasField("end")]
    if unknown:
        why = [f"`riverrun explain partition {unknown[0].topic}/{unknown[0].partition}` says why"] * (not inputs)
        yield Finding(
            code="INPUT_WITHOUT_LEADER",
            severity=Severity.CRITICAL,
            numbers={"partitions": len(unknown)},
            cause=f"the leader of {_places(unknown)} does not answer, or there is none",
            consequence="nothing of it can be read, by this group or anybody else; its other partitions go on",
            advice=listed(why, "why that is, and what to do, is told below"),
        )


def _state(group: Group) -> Iterator[str]:
    lag = sum(_lag(part) for part in group.partitions)
    oldest = max((part.lag_ms for part in group.partitions), default=0)
    behind = f"; the oldest has waited for {span_ms(oldest)}" if lag else ""
    yield (
        f"{counted(len(group.members), 'member')}, {counted(len(group.partitions), 'partition')}, "
        f"{counted(lag, 'record waits', 'records wait')}{behind}; coordinator: node {group.coordinator}"
    )
    for member in group.members:
        held = [part for part in group.partitions if part.member == member.id]
        quiet = min((part.quiet_ms for part in held if part.HasField("quiet_ms")), default=None)
        yield (
            f"{_name(member)}: {'connected' if member.connected else 'away'}, holds {_places(held)}, "
            f"{counted(sum(map(_lag, held)), 'record waits', 'records wait')}"
            + (f"; nothing new committed for {span_ms(quiet)}" if quiet is not None else "")
        )
    free = [part for part in group.partitions if not part.member]
    if free and group.members:
        yield f"nobody holds {_places(free)}"


# --- words


def _lag(part: Part) -> int:
    if not part.HasField("position") or not part.HasField("end"):
        return 0
    return max(part.end - part.position, 0)


def _name(member: Member) -> str:
    return f"member {member.id}" + (f" ({member.client})" if member.client else "")


def _places(parts: Sequence[Part]) -> str:
    names = [f"{part.topic}/{part.partition}" for part in parts[:TOLD_MAX]]
    more = len(parts) - TOLD_MAX
    return listed([*names, f"{more} more"] if more > 0 else names, "nothing")
