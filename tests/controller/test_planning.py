"""The plan: what is mended, and how little moves for it."""

import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controller.commands import FinishReassign, Move
from cluster.controller.leading import preferred, transfers
from cluster.controller.moves import finished, ids_of, marked, preferring, targeted
from cluster.controller.placement import place
from cluster.controller.planning import Plan, Situation
from cluster.metadata import NO_COPY_LEFT, Node, NodeState, Placement, Replica, Topic
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

ID = TopicId(b"t" * 16)


def node(number: int, **other: object) -> Node:
    """A node of that number."""
    return Node(node=NodeId(number), client_address="", peer_address="", **other)  # type: ignore[arg-type]


def topic(placements: list[list[int]], replicas: int = 0) -> Topic:
    """A topic that stands there, all replicas recorded, with ids 1, 2, 3 … in order."""
    number = iter(range(1, 10_000))
    partitions = tuple(
        Placement(
            number=place,
            replicas=tuple(
                Replica(replica=ReplicaId(next(number)), node=NodeId(one), initialised=True) for one in nodes
            ),
            preferred_leader=NodeId(nodes[0]),
        )
        for place, nodes in enumerate(placements)
    )
    return Topic(name="t", id=ID, partitions=partitions, replicas=replicas or len(placements[0]))


class Cluster:
    """Nodes and one topic, whose moves all succeed at once."""

    def __init__(self, nodes: list[Node], made: Topic, **more: object) -> None:
        self.nodes = {item.node: item for item in nodes}
        self.topic = made
        self.more = more
        self.next_replica = 10_000
        self.moves: list[Move] = []

    def situation(self) -> Situation:
        """As it is."""
        return Situation(nodes=self.nodes, topics={ID: self.topic}, **self.more)  # type: ignore[arg-type]

    def plan(self) -> Plan:
        """The next pass."""
        return Plan(self.situation())

    def begin(self, moves: list[Move]) -> None:
        """They are on their way."""
        for move in moves:
            before = self.topic.partitions[move.number]
            after = targeted(before, move.nodes, version=1, next_replica=self.next_replica, fresh=move.fresh)
            self.next_replica += 10
            self._put(after)
        self.moves += moves

    def finish(self) -> None:
        """All that moves has arrived."""
        for placement in self.topic.partitions:
            voters = [int(replica) for replica in ids_of(placement.target)]
            told = FinishReassign(topic=ID, number=placement.number, voters=voters, version=placement.since)
            recorded = marked(placement, ids_of(placement.target))
            self._put(finished(recorded, told, self.nodes))

    def settle(self) -> int:
        """Plan and move until nothing is left to do; how many moves that took."""
        for _ in range(200):
            moves = self.plan().moves
            if not moves:
                return len(self.moves)
            assert len(moves) <= self.situation().moves_max
            arriving: Counter[int] = Counter()
            for move in moves:
                there = {item.node for item in self.topic.partitions[move.number].replicas}
                arriving.update(one for one in move.nodes if one not in there)
            assert max(arriving.values(), default=0) <= self.situation().moves_per_node_max
            self.begin(moves)
            self.finish()
        raise AssertionError("it never comes to an end")

    def _put(self, placement: Placement) -> None:
        number = placement.number
        parts = self.topic.partitions
        self.topic = replace(self.topic, partitions=(*parts[:number], placement, *parts[number + 1 :]))

    def where(self) -> list[set[int]]:
        """The nodes of each partition."""
        return [{int(item.node) for item in placement.replicas} for placement in self.topic.partitions]

    def held(self) -> list[int]:
        """How many replicas each node has, ascending."""
        counts = Counter(one for nodes in self.where() for one in nodes)
        return sorted(counts[item] for item, known in self.nodes.items() if known.usable)


def test_a_node_gets_no_more_because_an_emptier_one_has_to_wait():
    """For what is too much there would have to leave again."""
    cluster = Cluster([node(number) for number in range(1, 5)], topic([[1]] * 18 + [[2]] * 2))
    assert 13 == cluster.settle()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), nodes=st.integers(1, 7), partitions=st.integers(1, 25))
def test_balance_moves_no_more_than_it_must(data: st.DataObject, nodes: int, partitions: int):
    """Whatever stands there: nodes differ by one at most.

    Where no replicas are in each other's way, no move is one too many; else each node costs one more at most.
    """
    replicas = data.draw(st.integers(1, nodes))
    choice = st.lists(st.integers(1, nodes), min_size=replicas, max_size=replicas, unique=True)
    made = topic(data.draw(st.lists(choice, min_size=partitions, max_size=partitions)))
    cluster = Cluster([node(number) for number in range(1, nodes + 1)], made)
    held = cluster.held()
    least, more = divmod(partitions * replicas, nodes)
    surplus = sum(max(count - least - (more > 0), 0) for count in held)
    lack = sum(max(least - count, 0) for count in held)
    settled = cluster.settle()
    assert max(surplus, lack) <= settled <= max(surplus, lack) + (nodes if replicas > 1 else 0)
    assert cluster.held()[-1] - cluster.held()[0] <= 1
    assert {replicas} == {len(where) for where in cluster.where()}


@settings(max_examples=50, deadline=None)
@given(data=st.data(), nodes=st.integers(2, 8), partitions=st.integers(1, 20))
def test_a_drained_node_ends_up_with_nothing(data: st.DataObject, nodes: int, partitions: int):
    """Each of its replicas moves once, nothing else does before; all that was asked for stays, racks stay spread."""
    replicas = data.draw(st.integers(1, nodes - 1))
    racks = data.draw(st.sampled_from([[""], ["a", "b"], ["a", "b", "c"]]))
    alive = [node(number, rack=racks[number % len(racks)]) for number in range(1, nodes + 1)]
    cluster = Cluster(alive, topic(place(alive, [], partitions=partitions, replicas=replicas)), balance=False)
    had = sum(1 in where for where in cluster.where())
    before = cluster.where()
    cluster.nodes[NodeId(1)] = replace(alive[0], draining=True)
    settled = cluster.settle()
    assert not any(1 in where for where in cluster.where())
    assert {replicas} == {len(where) for where in cluster.where()}
    if racks == [""]:
        assert had == settled
        assert all(len(old - new) == (1 in old) for old, new in zip(before, cluster.where(), strict=True))
    rack_of = {item.node: item.rack for item in alive}
    able = {item.rack for item in alive if item.node != 1}
    for where in cluster.where():
        assert min(replicas, len(able)) <= len({rack_of[NodeId(one)] for one in where}) or racks == [""]


def test_what_cannot_go_anywhere_stays_and_says_so():
    """Three copies on three nodes, one of which drains: nothing is given up."""
    cluster = Cluster([node(1), node(2), node(3, draining=True)], topic([[1, 2, 3]]))
    plan = cluster.plan()
    assert [] == plan.moves
    assert "3 replicas are asked for, and 2 nodes are alive" in plan.waiting[PartitionId(ID, 0)]
    assert "on node 3 cannot be put elsewhere" in plan.waiting[PartitionId(ID, 0)]


def test_the_dead_go_before_the_living():
    """With one node to spare, the replica on the dead node is rebuilt, and the draining one waits."""
    dead = node(2, state=NodeState.DEAD)
    nodes = [node(1), dead, node(3, draining=True), node(4)]
    cluster = Cluster(nodes, topic([[1, 2, 3]]))
    assert not any(2 not in move.nodes for move in cluster.plan().moves), "it may come back"
    cluster.more = {"gone": frozenset({NodeId(2)})}
    (move,) = cluster.plan().moves
    assert {1, 3, 4} == set(move.nodes)


def test_a_lost_replica_gets_another_one_on_its_node():
    """A wiped disk: not elsewhere, and not while that node cannot take it."""
    cluster = Cluster([node(1), node(2), node(3), node(4)], topic([[1, 2, 3]]), lost=frozenset({ReplicaId(2)}))
    (move,) = cluster.plan().moves
    assert ([1, 2, 3], [2]) == (sorted(move.nodes), move.fresh)
    cluster.begin([move])
    assert [] == cluster.plan().moves
    cluster = Cluster([node(1), node(2, draining=True), node(3), node(4)], topic([[1, 2, 3]]), **cluster.more)
    (move,) = cluster.plan().moves
    assert ([1, 3, 4], []) == (sorted(move.nodes), move.fresh)


def test_a_target_on_a_node_that_is_gone_is_another_one():
    """A move is not waited for where it cannot end."""
    cluster = Cluster([node(1), node(2), node(3), node(4), node(5)], topic([[1, 2, 3]]))
    cluster.begin([Move(topic=ID, number=0, nodes=[1, 2, 4], since=0)])
    assert [] == cluster.plan().moves
    cluster.nodes[NodeId(4)] = node(4, state=NodeState.DEAD)
    cluster.more = {"gone": frozenset({NodeId(4)})}
    (move,) = cluster.plan().moves
    assert 4 not in move.nodes
    assert {1, 2} < set(move.nodes)


def test_what_cannot_move_is_in_nobodys_way():
    """Nobody can lead partitions most of whose replicas are lost: they take the place of none that can be mended."""
    nodes = [node(1), node(2), node(3), node(4, state=NodeState.DEAD), node(5, state=NodeState.DEAD)]
    made = topic([[1, 4, 5], [2, 4, 5], [3, 4, 5], [1, 2, 5]])
    cluster = Cluster(nodes, made, moves_max=2, moves_per_node_max=1)
    cluster.begin([Move(topic=ID, number=0, nodes=[1, 4, 3], since=0)])
    cluster.more |= {"gone": frozenset({NodeId(4), NodeId(5)})}
    (move,) = cluster.plan().moves
    assert (3, {1, 2, 3}) == (move.number, set(move.nodes))
    assert "most of its replicas are lost, on nodes 4, 5" in cluster.plan().waiting[PartitionId(ID, 1)]
    cluster.more |= {"leading": {PartitionId(ID, 0): NodeId(3)}}
    assert [0, 3] == [move.number for move in cluster.plan().moves], "its log is ahead of what was told of it"
    cluster.more |= {"gone": frozenset(), "lost": frozenset({ReplicaId(1), ReplicaId(2)}), "leading": {}}
    assert "most of its replicas are lost, on nodes 1, 4" in cluster.plan().waiting[PartitionId(ID, 0)]


def test_a_move_that_was_begun_says_that_nobody_can_lead_it():
    """It was on its way when its only replica's node was given up: it waits for that, and a person has to know."""
    nodes = [node(1), node(2), node(3, state=NodeState.DEAD, draining=True)]
    cluster = Cluster(nodes, topic([[3], [1]]))
    cluster.begin(cluster.plan().moves)
    assert {} == cluster.plan().waiting
    cluster.more |= {"gone": frozenset({NodeId(3)})}
    waiting = cluster.plan().waiting
    assert [PartitionId(ID, 0)] == list(waiting)
    assert "most of its replicas are lost, on node 3" in waiting[PartitionId(ID, 0)]
    assert "riverrun topic delete" in waiting[PartitionId(ID, 0)]


def test_what_was_lost_for_good_says_that_it_keeps_a_node():
    """While that drains: nothing of it can move, until its topic is deleted."""
    made = topic([[1, 2], [2, 3]])
    lost = replace(made, partitions=(made.partitions[0], replace(made.partitions[1], lost=True)))
    nodes = [node(1), node(2), node(3, draining=True), node(4)]
    assert {PartitionId(ID, 1): NO_COPY_LEFT} == Cluster(nodes, lost).plan().waiting
    assert {} == Cluster([node(1), node(2), node(3)], lost).plan().waiting


def test_what_somebody_moves_holds_up_no_repair():
    """However much that is, to whatever node: it is not the plan's. Balance waits for it."""
    nodes = [node(number) for number in range(1, 5)]
    cluster = Cluster(nodes, topic([[1, 2, 3]] * 20), moves_max=3, moves_per_node_max=1)
    for number in range(10):
        cluster.begin([Move(topic=ID, number=number, nodes=[1, 2, 4], since=0)])
        cluster._put(replace(cluster.topic.partitions[number], pinned=True))
    assert [] == cluster.plan().moves
    cluster.more |= {"lost": frozenset({cluster.topic.partitions[19].replicas[2].replica})}
    assert [(19, [3])] == [(move.number, move.fresh) for move in cluster.plan().moves]
    cluster.nodes[NodeId(3)] = node(3, draining=True)
    assert [(19, [])] == [(move.number, move.fresh) for move in cluster.plan().moves], "so much at once to node 4"


def test_of_too_many_the_useless_go_first():
    """What is lost or on a dead node: with it among the two that stay, nothing would be decided any more."""
    dead = node(1, state=NodeState.DEAD)
    cluster = Cluster([dead, node(2), node(3)], topic([[1, 2, 3]], replicas=2))
    (move,) = cluster.plan().moves
    assert {2, 3} == set(move.nodes)
    cluster = Cluster([node(1), node(2), node(3)], topic([[1, 2, 3]], replicas=2), lost=frozenset({ReplicaId(1)}))
    (move,) = cluster.plan().moves
    assert ({2, 3}, []) == (set(move.nodes), move.fresh)


def test_what_somebody_has_put_together_stays_together():
    """Two of them in one rack: that is what was wanted, until one of the two has to go."""
    nodes = [node(1, rack="a"), node(2, rack="a"), node(3, rack="b")]
    made = topic([[1, 2]])
    chosen = replace(made, partitions=(replace(made.partitions[0], pinned=True),))
    assert [] == Cluster(nodes, chosen).plan().moves
    assert 1 == len(Cluster(nodes, made).plan().moves)


def test_a_move_that_cannot_end_turns_back_where_there_is_nobody_else():
    """Its target's node is gone, and no other one is there: who was to go stays, instead of a move without an end."""
    nodes = [node(1), node(2), node(3, draining=True), node(4, state=NodeState.DEAD)]
    cluster = Cluster(nodes, topic([[1, 2, 3]]), gone=frozenset({NodeId(4)}))
    cluster.begin([Move(topic=ID, number=0, nodes=[1, 2, 4], since=0)])
    (move,) = cluster.plan().moves
    assert {1, 2, 3} == set(move.nodes)
    cluster.begin([move])
    assert [] == cluster.plan().moves
    assert "cannot be put elsewhere" in cluster.plan().waiting[PartitionId(ID, 0)]


def test_a_partition_grows_as_far_as_it_can():
    """Of two that were to come one is gone: the other one is not kept waiting for it."""
    nodes = [node(1), node(2), node(3), node(4, state=NodeState.DEAD)]
    cluster = Cluster(nodes, topic([[1, 2]], replicas=4), gone=frozenset({NodeId(4)}))
    cluster.begin([Move(topic=ID, number=0, nodes=[1, 2, 3, 4], since=0)])
    (move,) = cluster.plan().moves
    assert {1, 2, 3} == set(move.nodes)


def test_the_heir_takes_everything():
    """And nobody else gets some of it because the heir is busy."""
    nodes = [node(number) for number in range(1, 6)]
    nodes[0] = replace(nodes[0], draining=True, replaced_by=NodeId(5))
    placements = [[1, 2, 3], [1, 3, 4], [1, 2, 4], [1, 2, 3], [1, 3, 4], [2, 3, 4]]
    cluster = Cluster(nodes, topic(placements), balance=False, moves_per_node_max=2)
    assert "waits for its turn" in cluster.plan().waiting.values()
    cluster.settle()
    assert [({5} | set(old)) - {1} if 1 in old else set(old) for old in placements] == cluster.where()


def test_more_and_fewer_replicas_than_there_are():
    """What is missing goes to the emptiest, what is too much goes from the fullest; the preferred leader stays."""
    cluster = Cluster([node(1), node(2), node(3)], topic([[1, 2], [1, 2]], replicas=3), balance=False)
    cluster.settle()
    assert [{1, 2, 3}] * 2 == cluster.where()
    cluster.topic = replace(cluster.topic, replicas=1)
    cluster.settle()
    assert [1, 1] == [len(where) for where in cluster.where()]
    assert [1, 1] == [placement.preferred_leader for placement in cluster.topic.partitions]


def test_of_fewer_replicas_those_on_nodes_that_are_alive_stay():
    """Though the dead one be the preferred leader: alone, it could decide nothing."""
    for left in (1, 2):
        made = replace(topic([[1, 2, 3]]), replicas=left)
        cluster = Cluster([node(1, state=NodeState.DEAD), node(2), node(3)], made)
        cluster.begin(cluster.plan().moves)
        assert {NodeId(2), NodeId(3)} >= {item.node for item in cluster.topic.partitions[0].target}


def test_replicas_spread_over_racks_when_there_is_one_more():
    """A rack that comes later gets one of each; with as many as before nothing moves."""
    nodes = [node(1, rack="a"), node(2, rack="a"), node(3, rack="b"), node(4, rack="b")]
    cluster = Cluster(nodes, topic([[1, 3, 2], [1, 3, 4]]), balance=False)
    assert 0 == cluster.settle()
    cluster.nodes[NodeId(5)] = node(5, rack="c")
    assert 2 == cluster.settle()
    assert all(5 in where for where in cluster.where())


def test_a_partition_that_the_draining_node_leads_moves_last():
    """Leaders go first: what else there is is on its way before."""
    placements = [[3, 1], [1, 3], [2, 3]]
    leading = {PartitionId(ID, 0): NodeId(3), PartitionId(ID, 1): NodeId(1), PartitionId(ID, 2): NodeId(2)}
    nodes = [node(1), node(2), node(3, draining=True), node(4)]
    cluster = Cluster(nodes, topic(placements), leading=leading)
    plan = cluster.plan()
    assert [1, 2] == [move.number for move in plan.moves]
    assert "is led by a node that drains" == plan.waiting[PartitionId(ID, 0)]
    cluster.begin(plan.moves)
    cluster.finish()
    assert [0] == [move.number for move in cluster.plan().moves]


@settings(max_examples=50, deadline=None)
@given(data=st.data(), nodes=st.integers(1, 6), partitions=st.integers(1, 30))
def test_preferred_leaders_are_balanced_and_then_rest(data: st.DataObject, nodes: int, partitions: int):
    """With replicas everywhere they differ by one at most, after no more changes than it takes."""
    everywhere = st.permutations(range(1, nodes + 1))
    made = topic(data.draw(st.lists(everywhere, min_size=partitions, max_size=partitions)))
    cluster = Cluster([node(number) for number in range(1, nodes + 1)], made)
    counts = Counter(placement.preferred_leader for placement in made.partitions)
    least, more = divmod(partitions, nodes)
    surplus = sum(max(counts[one] - least - (more > 0), 0) for one in cluster.nodes)
    lack = sum(max(least - counts[one], 0) for one in cluster.nodes)
    changes = preferred(cluster.situation(), 1_000)
    assert max(surplus, lack) == len(changes)
    for _, number, to in changes:
        cluster._put(preferring(cluster.topic.partitions[number], NodeId(to)))
    assert [] == preferred(cluster.situation(), 1_000)
    if nodes > 1:
        cluster.nodes[NodeId(1)] = node(1, draining=True)
        for _, number, to in preferred(cluster.situation(), 1_000):
            cluster._put(preferring(cluster.topic.partitions[number], NodeId(to)))
        assert not any(placement.preferred_leader == 1 for placement in cluster.topic.partitions)


@pytest.mark.slow
def test_leaders_of_very_many_partitions_are_balanced_without_holding_up_the_node():
    """With a node that holds nothing yet: it was looked through all of them for it, a thousand times."""
    made = topic([[1]])
    replicas = tuple(Replica(replica=ReplicaId(one), node=NodeId(one), initialised=True) for one in (1, 2, 3))
    placements = (Placement(number=one, replicas=replicas, preferred_leader=NodeId(1)) for one in range(50_000))
    cluster = Cluster([node(number) for number in range(1, 5)], replace(made, partitions=tuple(placements), replicas=3))
    began_s = time.process_time()
    changes = preferred(cluster.situation(), 1_000)
    assert time.process_time() - began_s < 2
    assert {2: 500, 3: 500} == Counter(to for _, _, to in changes)


def test_leadership_goes_to_whom_it_is_meant_for():
    """If that node is there; where it is not, the fuller of two nodes gives to the emptier one."""
    made = topic([[1, 2, 3], [3, 1, 2], [3, 2, 1], [3, 1, 2], [3, 2, 1]])
    nodes = [node(1), node(2), node(3, state=NodeState.DEAD)]
    leading = {PartitionId(ID, number): NodeId(2) for number in range(5)}
    cluster = Cluster(nodes, made, leading=leading)
    up = {NodeId(1), NodeId(2)}
    found = transfers(cluster.situation(), me=NodeId(2), up=up, transfers_max=9)
    assert [(PartitionId(ID, number), 1) for number in (0, 1)] == found
    assert [] == transfers(cluster.situation(), me=NodeId(1), up=up, transfers_max=9)
    cluster.nodes[NodeId(2)] = node(2, draining=True)
    found = transfers(cluster.situation(), me=NodeId(2), up=up, transfers_max=3)
    assert [(PartitionId(ID, number), 1) for number in range(3)] == found


def test_a_draining_node_hands_over_at_once_what_is_decided():
    """To whom it is meant for; what it is still meant to lead waits for that, or for the next look."""
    made = topic([[1, 2, 3], [2, 1, 3], [3, 1, 2]])
    leading = {PartitionId(ID, number): NodeId(1) for number in range(3)}
    cluster = Cluster([node(1, draining=True), node(2), node(3)], made, leading=leading)
    up = {NodeId(1), NodeId(2), NodeId(3)}
    found = transfers(cluster.situation(), me=NodeId(1), up=up, transfers_max=9, at_once=True)
    assert [(PartitionId(ID, number), number + 1) for number in (1, 2)] == found
    found = transfers(cluster.situation(), me=NodeId(1), up=up, transfers_max=9)
    assert [(PartitionId(ID, 0), 2), (PartitionId(ID, 1), 2), (PartitionId(ID, 2), 3)] == found
    found = transfers(cluster.situation(), me=NodeId(1), up=up - {NodeId(2)}, transfers_max=9, at_once=True)
    assert [(PartitionId(ID, 1), 3), (PartitionId(ID, 2), 3)] == found


@pytest.mark.parametrize("balance", [True, False])
def test_balance_may_be_off(balance: bool):  # noqa: FBT001
    """Then a new node gets what is new, and what others have to leave."""
    cluster = Cluster([node(1), node(2), node(3)], topic([[1, 2], [2, 1], [1, 2]]), balance=balance)
    assert balance == bool(cluster.plan().moves)
