"""Whatever people and nodes do, in any order: no voter is taken away, and in the end all is as it was asked for."""

import random
from dataclasses import dataclass, field

import pytest

from cluster.config import ControllerOptions
from cluster.controller.commands import (
    AddNode,
    Barrier,
    CancelReassign,
    Command,
    CreateTopic,
    DrainNode,
    MoveReplicas,
    PreferLeaders,
    Proposal,
    Reassign,
    RegisterNode,
    RemoveNode,
    ReplaceNode,
    SetReplicas,
)
from cluster.controller.leading import preferred
from cluster.controller.observing import Observations
from cluster.controller.placement import place
from cluster.controller.planning import Plan
from cluster.controller.state import MetadataState
from cluster.errors import InvalidRequest
from cluster.metadata import NodeState, Placement, Report, ReportedMembership
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Term

OPTIONS = ControllerOptions(node_dead_after_s=1, node_lost_after_s=20, moves_max=4, moves_per_node_max=2)
DECIDING = NodeId(1)
"""Of the nodes it is the one that never goes: the controller runs there."""


@dataclass
class Log:
    """What a partition's replicas agree on, as far as it is of interest."""

    voters: set[ReplicaId]
    version: int = 0
    """Of the target that its leader has heard of."""
    homes: dict[ReplicaId, NodeId] = field(default_factory=dict)


class Orders:
    """Nodes that do as they are told, unless they are dead; a controller; and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.state = MetadataState()
        self.observed = Observations(DECIDING, OPTIONS)
        self.now_s = 0.0
        self.number = 0
        self.dead: set[NodeId] = set()
        self.lost: dict[ReplicaId, NodeId] = {}
        self.logs: dict[PartitionId, Log] = {}
        self.ids: dict[ReplicaId, tuple[PartitionId, NodeId]] = {}
        self.done: list[Command] = []
        for _ in range(self.chance.randint(4, 6)):
            self.join()

    def do(self, command: Command) -> str:
        """Apply; the reason if it was refused."""
        self.number += 1
        answer, _ = self.state.apply(Proposal(client=b"orders..", number=self.number, command=command))
        self.done.append(command)
        self.look()
        return answer.reason

    def join(self) -> None:
        """One more node."""
        number = self.state.next_node
        self.do(AddNode(client_address=f"n{number}:1", peer_address=f"n{number}:2"))
        rack = self.chance.choice(["", "a", "b", "c"])
        directory = b"d%d" % number
        self.do(
            RegisterNode(node=number, client_address="c", peer_address="p", version="", rack=rack, directory=directory)
        )

    def placements(self) -> list[tuple[PartitionId, Placement]]:
        """All there are."""
        return [(PartitionId(t.id, p.number), p) for t in self.state.topics.values() for p in t.partitions]

    def look(self) -> None:
        """What must hold at any time."""
        for partition, placement in self.placements():
            for item in (*placement.running, *placement.removed):
                known = self.ids.setdefault(item.replica, (partition, item.node))
                assert known == (partition, item.node), "an id is used once"
            assert placement.replicas, "somebody is there"
            log = self.logs.get(partition)
            if log is not None:
                running = {item.replica for item in placement.running}
                assert log.voters <= running, f"a voter was taken away: {self.done[-3:]}"
                assert not log.voters & {item.replica for item in placement.removed}

    # --- what nodes do

    def is_well(self, replica: ReplicaId, homes: dict[ReplicaId, NodeId]) -> bool:
        """Whether it is there, with what it had."""
        return homes[replica] not in self.dead and homes[replica] in self.state.nodes and replica not in self.lost

    def work(self) -> None:
        """Each node, and each leader, does one step or none."""
        initialised: list[ReplicaId] = []
        dropped: list[ReplicaId] = []
        for partition, placement in self.placements():
            homes = {item.replica: item.node for item in placement.running}
            log = self.logs.setdefault(partition, Log({item.replica for item in placement.replicas}))
            log.homes |= homes
            initialised += [
                item.replica for item in placement.running if not item.initialised and self.is_well(item.replica, homes)
            ]
            dropped += [item.replica for item in placement.removed if item.node not in self.dead]
            if self.chance.random() < 0.7:
                self.lead(partition, placement, log)
        self.observed.take(
            Report(
                node=DECIDING,
                metadata_version=0,
                initialised=tuple(initialised),
                dropped=tuple(dropped),
                lost=tuple(self.lost),
            )
        )

    def has_leader(self, log: Log) -> bool:
        """Whether a majority is there."""
        return 2 * sum(self.is_well(voter, log.homes) for voter in log.voters) > len(log.voters)

    def can_move(self, partition: PartitionId, placement: Placement) -> bool:
        """Whether it is on its way, and can arrive."""
        log = self.logs[partition]
        arriving = [item.replica for item in placement.target if item.replica not in log.voters]
        return bool(placement.target) and self.has_leader(log) and all(self.is_well(one, log.homes) for one in arriving)

    def lead(self, partition: PartitionId, placement: Placement, log: Log) -> None:
        """Its leader hears of the target, goes there, tells."""
        if not self.has_leader(log):
            return
        log.version = placement.since
        if placement.target and self.chance.random() < 0.7:
            wanted = {item.replica for item in placement.target}
            fresh = [item for item in placement.target if item.replica not in log.voters]
            ready = all(item.initialised and self.is_well(item.replica, log.homes) for item in fresh)
            if ready and 2 * sum(self.is_well(replica, log.homes) for replica in wanted) > len(wanted):
                log.voters = wanted
        if self.chance.random() < 0.7:
            told = ReportedMembership(index=Index(1), term=Term(1), voters=tuple(log.voters), version=log.version)
            self.observed.take(
                Report(node=DECIDING, metadata_version=0, memberships={partition: told}, lost=tuple(self.lost))
            )

    # --- what the controller does

    def decide(self) -> int:
        """What it does in a second; how many moves it has begun."""
        self.now_s += 1
        for command in list(self.observed.facts(self.state, self.state.quorum.members, self.now_s)):
            assert "" == self.do(command), command
        leading = {
            partition: next(iter(log.homes[voter] for voter in sorted(log.voters) if self.is_well(voter, log.homes)))
            for partition, log in self.logs.items()
            if self.has_leader(log)
        }
        situation = self.observed.situation(self.state, leading, self.now_s)
        if better := preferred(situation, 100):
            self.do(PreferLeaders(leaders=better))
        moves = Plan(situation).moves
        if moves:
            self.do(MoveReplicas(moves=moves))
        return len(moves)

    # --- what happens

    def happen(self) -> None:
        """Something."""
        nodes = sorted(self.state.nodes)
        node, other = self.chance.choice(nodes), self.chance.choice(nodes)
        topics = sorted(self.state.by_name)
        name = self.chance.choice(topics) if topics else ""
        match self.chance.randrange(12):
            case 0 | 1:
                self.make_topic()
            case 2:
                self.do(DrainNode(node=node))
            case 3:
                self.do(DrainNode(node=node, undo=True))
            case 4 if node != DECIDING:
                self.do(ReplaceNode(old=node, new=other))
            case 5 if node != DECIDING:
                self.do(RemoveNode(node=node))
            case 6 if node != DECIDING:
                self.dead.add(node)
                self.observed.peer_down(node, self.now_s)
            case 7:
                self.revive()
            case 8 if topics:
                topic = self.state.topics[self.state.by_name[name]]
                chosen = self.chance.sample(nodes, min(topic.replicas, len(nodes)))
                self.do(Reassign(topic=name, nodes={0: [int(one) for one in chosen]}))
            case 9 if topics:
                self.do(CancelReassign(topic=name, partitions=[]))
            case 10 if topics:
                self.do(SetReplicas(name=name, replicas=self.chance.randint(1, 4)))
            case 11:
                self.lose()
            case _:
                self.do(Barrier())

    def make_topic(self) -> None:
        """If there are nodes for it, and not too many of them."""
        if len(self.state.topics) > 5:
            return
        try:
            placements = place(
                self.state.nodes.values(),
                self.state.topics.values(),
                partitions=self.chance.randint(1, 4),
                replicas=(replicas := self.chance.randint(1, 3)),
            )
        except InvalidRequest:
            return
        name = f"t{self.number}"
        self.do(
            CreateTopic(
                name=name, id=name.encode().ljust(16), placements=placements, replicas=replicas, if_absent=False
            )
        )

    def lose(self) -> None:
        """A node loses one replica; but no partition so many that its records are lost."""
        for partition, placement in self.placements():
            log = self.logs.get(partition)
            if log is None:
                continue
            left = [voter for voter in log.voters if voter not in self.lost and log.homes[voter] in self.state.nodes]
            recorded = [item for item in placement.running if item.initialised and item.replica in left]
            if recorded and 2 * (len(left) - 1) > len(log.voters) and self.chance.random() < 0.3:
                item = self.chance.choice(recorded)
                self.lost[item.replica] = item.node
                return

    def revive(self) -> None:
        """All that are dead are back."""
        self.dead.clear()

    def live(self) -> None:
        """Time passes."""
        for node in self.state.nodes:
            if node not in self.dead and not self.observed.is_there(node):
                self.observed.peer_up(node, self.now_s)
        self.work()

    def run(self, steps: int, *, return_to_life: bool) -> None:
        """Things happen, the controller does what it does; then nothing happens any more, and all comes to rest."""
        for _ in range(steps):
            if self.chance.random() < 0.4:
                self.happen()
            self.live()
            if self.chance.random() < 0.8:
                self.decide()
        if return_to_life:
            self.revive()
        quiet = 0
        for _ in range(600):
            self.live()
            able = [placement for partition, placement in self.placements() if self.can_move(partition, placement)]
            quiet = 0 if self.decide() or able else quiet + 1
            if quiet > OPTIONS.node_lost_after_s + 5:
                break
        else:
            raise AssertionError(f"it never comes to rest: {self.done[-6:]}")
        self.rests()

    def rests(self) -> None:
        """What is so in the end."""
        usable = sum(known.usable for known in self.state.nodes.values())
        assert {node for node, known in self.state.nodes.items() if known.state is NodeState.DEAD} <= self.dead
        for partition, placement in self.placements():
            if not self.has_leader(self.logs[partition]):
                continue  # nothing can be done for it
            asked = self.state.topics[partition.topic].replicas
            nodes = [self.state.nodes[item.node] for item in placement.replicas]
            assert {item.replica for item in placement.replicas} == self.logs[partition].voters
            assert not [item for item in placement.removed if item.node not in self.dead]
            assert placement.target or not placement.abandoned
            assert len(set(nodes)) == len(nodes)
            if usable >= asked:
                assert asked == len(nodes)
                assert all(known.usable for known in nodes)
                assert not [item for item in placement.replicas if item.replica in self.lost]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_seeds(block: int):
    """Each seed is another order of drains, replacements, deaths, losses, moves by people and their ends."""
    for seed in range(block * 50, block * 50 + 50):
        Orders(seed).run(60, return_to_life=seed % 3 > 0)
