"""From the surveys of all nodes that are left, what they are to go on with. Pure.

What can be told is told in `account`; what there is no need for, or no way to, is refused with a sentence.
"""

from collections.abc import Mapping, Sequence

import msgspec

from cluster.controller.quorum.recovering import KnownQuorum
from cluster.controller.recovering import (
    gone_nodes,
    known_nodes,
    known_topics,
    next_era,
    recovered,
    version_after,
)
from cluster.errors import InvalidRequest
from cluster.membership import Member, Membership
from cluster.metadata import Node, NodeState, QuorumConfiguration, Recovery, Seat
from cluster.node.recovery.account import Controller, account
from cluster.node.recovery.partitions import Fate, Judged, judge
from cluster.node.recovery.survey import FoundReplica, Survey
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

FORMAT = 1
SMALL, LARGE = 3, 5
"""Seats, as `cluster.controller.seats` has them."""


class Survivor(msgspec.Struct, frozen=True):
    """A node that is left, with its data directory.

    `reach`: how far its part of the controller went; None: a version wrote this plan that did not look.
    """

    node: int
    directory: bytes
    reach: tuple[int, int, int] | None = None


class Forced(msgspec.Struct, frozen=True, kw_only=True):
    """The replica on `node` gets a membership, in `term`, behind an entry of `last_term` and `last_index`.

    `version`: of the metadata that it is made for, so that a leader's word of it confirms the placement.
    """

    topic: bytes
    name: str
    number: int
    node: int
    replica: int
    directory: str
    term: int
    last_term: int
    last_index: int
    version: int
    members: list[tuple[int, int]]

    @property
    def membership(self) -> Membership:
        """Who votes from now on."""
        return Membership(
            version=self.version,
            voters=tuple(Member(replica=ReplicaId(replica), node=NodeId(node)) for replica, node in self.members),
        )


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`lost`: nodes that are given up, with the addresses that they had. `account`: what it costs, for people."""

    format: int = FORMAT
    id: bytes
    at_ns: int
    cluster: bytes
    survivors: list[Survivor]
    lost: dict[int, list[str]]
    configuration: QuorumConfiguration
    state: bytes
    forced: list[Forced]
    account: list[str]

    def encode(self) -> bytes:
        """A file's content."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def decode_plan(data: bytes) -> Plan:
    """The inverse; InvalidRequest if it is no plan of this version."""
    try:
        found = msgspec.json.decode(data, type=Plan)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"this is no plan of a recovery: {error}") from error
    if found.format != FORMAT:
        raise InvalidRequest(f"this is a plan of format {found.format}; this version writes and reads {FORMAT}")
    return found


def make_plan(surveys: Sequence[Survey], *, at_ns: int, plan_id: bytes) -> Plan:
    """InvalidRequest: these are not surveys of one cluster, none knows of the controller, or nothing is to recover."""
    _check(surveys)
    _check_journals(surveys)
    quorum = max((one.quorum for one in surveys), key=lambda known: known.reach)
    source = next(one.node for one in surveys if one.quorum is quorum)
    nodes = known_nodes(quorum.state)
    before = gone_nodes(quorum.state)
    _check_directories(surveys, nodes, before)
    controller = _controller(surveys, quorum, source)
    judged = _judged(surveys, quorum.state)
    gone = _gone(surveys, nodes, controller.configuration, before)
    troubles = [one for one in judged.values() if one[1].fate is not Fate.LIVES]
    fresh = [one for one in troubles if one[1].fate is Fate.FORCED or not one[2]]
    if not fresh and (controller.lives or not gone):
        raise InvalidRequest(
            "a majority of the controller's members, and of the replicas of every partition, is among these nodes: "
            "there is nothing to recover. Start them; then have other nodes take the places of those that are gone "
            "(riverrun cluster replace)"
        )
    configuration = QuorumConfiguration(
        number=next_era(controller.configuration.number), seats=_seats(surveys, nodes, controller.configuration)
    )
    forced = [_force(name, one) for name, one, _ in judged.values() if one.fate is Fate.FORCED]
    recovery = Recovery(
        at_ns=at_ns,
        configuration=configuration.number,
        nodes=tuple(gone),
        forced=len(forced),
        lost=sum(one.fate is Fate.LOST for _, one, _ in troubles),
        decisions=not controller.complete,
    )
    state = recovered(
        quorum.state,
        configuration=configuration,
        placements={partition: one.placement for partition, (_, one, _) in judged.items()},
        gone=set(gone),
        replica_max=max((item.replica for one in surveys for item in one.replicas), default=0),
        recovery=recovery,
    )
    unknown = sum(item.partition not in judged for one in surveys for item in one.replicas)
    return Plan(
        id=plan_id,
        at_ns=at_ns,
        cluster=surveys[0].cluster,
        survivors=[Survivor(one.node, one.directory, one.quorum.reach) for one in surveys],
        lost={int(node): _addresses(nodes.get(node)) for node in gone},
        configuration=configuration,
        state=state,
        forced=forced,
        account=account(
            cluster=surveys[0].cluster,
            left=[one.node for one in surveys],
            gone=gone,
            controller=controller,
            members=configuration,
            partitions=[(f"{name}/{one.placement.number}", one) for name, one, _ in judged.values()],
            unknown=unknown,
        ),
    )


# --- what does not fit


def _check(surveys: Sequence[Survey]) -> None:
    if not surveys:
        raise InvalidRequest("say which nodes are left: their data directories, or surveys of them")
    clusters = {one.cluster for one in surveys}
    if len(clusters) > 1:
        raise InvalidRequest(f"these nodes are of {len(clusters)} clusters")
    numbers = [one.node for one in surveys]
    twice = next((node for node in numbers if numbers.count(node) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"there are two surveys of node {twice}: leave the older one out")


def _check_journals(surveys: Sequence[Survey]) -> None:
    if not any(one.quorum.journal for one in surveys):
        raise InvalidRequest(
            "none of these data directories has a part of the controller: what topics there are, and where, is not "
            "known here. Recover the directory of a node that had a seat in its quorum (riverrun cluster status "
            "showed them)"
            + "".join(f"; node {one.node}: {one.quorum_trouble}" for one in surveys if one.quorum_trouble)
        )


def _check_directories(surveys: Sequence[Survey], nodes: Mapping[NodeId, Node], gone: set[NodeId]) -> None:
    for one in surveys:
        if NodeId(one.node) in gone:
            raise InvalidRequest(f"node {one.node} was removed from this cluster, and does not return: leave it out")
        known = nodes.get(NodeId(one.node))
        if known is not None and known.directory not in {b"", one.directory}:
            raise InvalidRequest(
                f"node {one.node} registered with another data directory than this one, which was wiped or exchanged: "
                f"leave it out, or find the one that it had"
            )


# --- the controller


def _controller(surveys: Sequence[Survey], quorum: KnownQuorum, source: int) -> Controller:
    """What is known of the newest configuration, and who is left of it."""
    heard = (one.quorum.configuration for one in surveys)
    configuration = max(heard, key=lambda one: one.number)
    directories = {one.node: one.directory for one in surveys if one.quorum.journal == configuration.number}
    left = [
        seat.node
        for seat in configuration.seats
        if seat.node in directories and seat.directory in {b"", directories[seat.node]}
    ]
    known = quorum.journal == configuration.number and bool(configuration.seats)
    return Controller(
        configuration=configuration,
        left=tuple(left),
        source=source,
        decisions=quorum.index,
        unconfirmed=quorum.index
        - max([one.quorum.confirmed for one in surveys if one.quorum.journal == quorum.journal]),
        lives=known and 2 * len(left) > len(configuration.seats),
        complete=known and len(configuration.seats) - len(left) <= len(configuration.seats) // 2,
    )


def _seats(surveys: Sequence[Survey], nodes: Mapping[NodeId, Node], before: QuorumConfiguration) -> tuple[Seat, ...]:
    """For nodes that are left, whoever had one before others; the plan of seats goes on from there."""
    able = [one for one in surveys if NodeId(one.node) in nodes and one.directory]
    able.sort(key=lambda one: (nodes[NodeId(one.node)].draining, before.seat_of(NodeId(one.node)) is None, one.node))
    count = LARGE if len(able) >= LARGE else min(len(able), SMALL)
    if not count:
        raise InvalidRequest("none of these nodes is one that the controller knows: there is nobody to go on")
    chosen = sorted(able[:count], key=lambda one: one.node)
    return tuple(Seat(node=NodeId(one.node), directory=one.directory) for one in chosen)


def _gone(
    surveys: Sequence[Survey], nodes: Mapping[NodeId, Node], quorum: QuorumConfiguration, before: set[NodeId]
) -> list[NodeId]:
    """All that ever had a part in anything here, and are not left."""
    started = {node.node for node in nodes.values() if node.state is not NodeState.ADDED}
    named = {member.node for one in surveys for item in one.replicas for member in item.membership.everybody()} | set(
        quorum.members
    )
    left = {NodeId(one.node) for one in surveys}
    return sorted((started | named) - left - before)


def _addresses(node: Node | None) -> list[str]:
    return [node.peer_address, node.client_address] if node is not None else []


# --- partitions


def _judged(surveys: Sequence[Survey], state: bytes) -> dict[PartitionId, tuple[str, Judged, bool]]:
    """By partition: its topic's name, what becomes of it, and whether it was lost before."""
    found: dict[PartitionId, list[tuple[NodeId, FoundReplica]]] = {}
    for one in surveys:
        for item in one.replicas:
            found.setdefault(item.partition, []).append((NodeId(one.node), item))
    version = version_after(state)
    judged = {}
    for topic in sorted(known_topics(state), key=lambda topic: topic.name):
        for placement in topic.partitions:
            partition = PartitionId(TopicId(topic.id), placement.number)
            here = found.get(partition, [])
            judged[partition] = topic.name, judge(placement, here, version=version), placement.lost
    return judged


def _force(name: str, one: Judged) -> Forced:
    assert one.best is not None
    node, best = one.best
    return Forced(
        topic=best.topic,
        name=name,
        number=best.number,
        node=node,
        replica=best.replica,
        directory=best.directory,
        term=one.term,
        last_term=best.last_term,
        last_index=best.last_index,
        version=one.placement.since,
        members=[(member.replica, member.node) for member in one.members],
    )
