"""What a recovery costs, for the person who has to decide about it, in sentences. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cluster.broker.explaining.words import counted, numbered
from cluster.metadata import QuorumConfiguration
from cluster.node.recovery.partitions import Fate, Judged
from cluster.types import NodeId

TOLD_MAX = 200
"""Partitions that are told one by one, of each sort."""
Named = Sequence[tuple[str, Judged]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What is known of it: the newest configuration that anybody left has heard of, and its members that are left.

    `source`: the node whose journal goes furthest, over so many entries (`decisions`), of which the last `unconfirmed`
    are not known to be decided. `lives`: those that are left are a majority. `complete`: no decision is missing.
    """

    configuration: QuorumConfiguration
    left: tuple[NodeId, ...]
    source: int
    decisions: int
    unconfirmed: int
    lives: bool
    complete: bool


def account(
    *,
    cluster: bytes,
    left: Sequence[int],
    gone: Sequence[NodeId],
    controller: Controller,
    members: QuorumConfiguration,
    partitions: Named,
    unknown: int,
) -> list[str]:
    """Lines; those that go on with what is above begin with spaces."""
    lines = [f"cluster {cluster.hex()}: {numbered(left)} {'is' if len(left) == 1 else 'are'} left"]
    if gone:
        one = len(gone) == 1
        lines.append(
            f"given up for good: {numbered(gone)}. {'It is' if one else 'They are'} removed: what is on "
            f"{'its disk' if one else 'their disks'} never counts again, and {'it is' if one else 'they are'} refused "
            f"if {'it comes' if one else 'they come'} back"
        )
    lines += ["", *_controller(controller, members), "", *_partitions(partitions)]
    if unknown:
        lines.append(
            f"{counted(unknown, 'directory', 'directories')} of replicas of which the controller does not know (topics "
            f"that were deleted, or made by decisions that are lost) stay{'s' * (unknown == 1)} where "
            f"{'it is' if unknown == 1 else 'they are'}, and {'is' if unknown == 1 else 'are'} not read"
        )
    if any(one.fate is not Fate.LIVES for _, one in partitions) or not controller.complete:
        lines += ["", CONSEQUENCES]
    return lines


CONSEQUENCES = (
    "What follows: offsets of records that are lost are given again, to others. Producers that had sent those are told "
    "OUT_OF_SEQUENCE or UNKNOWN_PRODUCER and have to open anew; groups and tasks whose positions are lost read some "
    "records again, and do again what they did for them; a task that reads another stage's records misses those that "
    "were deleted behind its lost position (deleted_unread says how many)"
)


def _controller(known: Controller, members: QuorumConfiguration) -> Iterator[str]:
    seats = known.configuration.seats
    had = f"the controller (configuration {known.configuration.number:,}, {numbered(seat.node for seat in seats)})"
    if known.lives:
        yield f"{had}: a majority of its members is left; no decision is lost"
    else:
        need = len(seats) // 2 + 1
        who = numbered(known.left) if known.left else "nobody"
        yield f"{had}: {who} of {len(seats)} {'is' if len(known.left) < 2 else 'are'} left, and {need} are needed"
        if known.complete:
            yield "  no decision is lost: whatever was decided is on one of those that are left"
        else:
            yield (
                "  decisions that only lost members knew are lost: topics, apps, nodes, producers and moves that were "
                "new. Topics that such a decision deleted are there again, most likely without records"
            )
        doubtful = ""
        if known.unconfirmed:
            which = "the last one" if known.unconfirmed == 1 else f"the last {known.unconfirmed:,}"
            doubtful = f"; {which} of them may never have been confirmed, and count{'s' * (known.unconfirmed == 1)} now"
        entries = counted(known.decisions, "entry", "entries")
        yield f"  it goes on with what node {known.source} knows: {entries}{doubtful}"
    yield f"  its members from now on: {numbered(members.members)}, in configuration {members.number:,}"


def _partitions(partitions: Named) -> Iterator[str]:
    lives, force, gone = (sum(one.fate is fate for _, one in partitions) for fate in Fate)
    yield (
        f"{counted(len(partitions), 'partition')}: {lives:,} {'has a majority still and loses' * (lives == 1)}"
        f"{'have a majority still and lose' * (lives != 1)} nothing; {force:,} {'is' if force == 1 else 'are'} forced "
        f"to go on with what is left; {gone:,} {'is' if gone == 1 else 'are'} lost"
    )
    forced = [(name, one) for name, one in partitions if one.fate is Fate.FORCED]
    yield from _some("forced:", forced, _forced_words)
    lost = [(name, one) for name, one in partitions if one.fate is Fate.LOST]
    yield from _some(
        "lost: no copy of a record is left. They stay without a leader until their topic is deleted "
        "(riverrun topic delete):",
        lost,
        _lost_words,
    )


def _some(title: str, some: Named, words: Callable[[Judged], str]) -> Iterator[str]:
    if not some:
        return
    yield title
    for name, one in some[:TOLD_MAX]:
        yield f"  {name}: {words(one)}"
    if len(some) > TOLD_MAX:
        yield f"  … and {len(some) - TOLD_MAX:,} more"


def _forced_words(one: Judged) -> str:
    assert one.best is not None
    node, best = one.best
    there = len(one.members)
    who = f"{there} of {counted(one.before, 'replica')} {'is' if there == 1 else 'are'} left"
    ends = f"up to offset {best.end_offset - 1:,}" if best.end_offset > best.first_offset else "no records"
    taken = f"that on node {node} is taken: {ends}, index {best.last_index:,} of term {best.last_term:,}"
    others = [member.node for member in one.members if member.node != node]
    vote = f"; {numbered(others)} follow{'s' * (len(others) == 1)} it" if others else ""
    return f"{who}; {taken}{vote}. {_missing_words(one)}"


def _missing_words(one: Judged) -> str:
    assert one.best is not None
    _, best = one.best
    if one.complete:
        return "Nothing that was acknowledged is lost: no majority was possible without these"
    damaged = "" if best.whole else "The end of its log is damaged, and goes. "
    if one.led:
        return (
            f"{damaged}It led when it was last heard of, so nothing is lost as far as can be told; if others led after "
            "it, what they acknowledged is lost"
        )
    return f"{damaged}Records that were acknowledged behind that, if there were any, are lost"


def _lost_words(one: Judged) -> str:
    nodes = [item.node for item in one.placement.replicas]
    return f"its {counted(len(nodes), 'replica')} {'was' if len(nodes) == 1 else 'were'} on {numbered(nodes)}"
