"""Who belongs to a partition becomes who is wanted: the next step alone, and whole clusters in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cluster.broker.catch_up import CatchUp
from cluster.broker.membership import HandOver, Standing, next_step
from cluster.broker.opening import Missing, directory_of
from cluster.broker.replica import Replica
from cluster.broker.requests import AllowVote, Reassign, Tick
from cluster.broker.running import Running
from cluster.broker.surroundings import Pulse
from cluster.client.client import Client
from cluster.controller.observing import arrived
from cluster.log import ReplicaIdentity
from cluster.membership import BLANK, Member, Membership
from cluster.metadata import Placement
from cluster.metadata import Replica as Assigned
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import Index, NodeId, PartitionId, ReplicaId
from tests.broker.test_trimming import TOPIC, fill, read_all

ONE, TWO, THREE, FOUR, FIVE = (Member(replica=ReplicaId(n), node=NodeId(n)) for n in range(1, 6))
THREE_VOTERS = Membership(voters=(ONE, TWO, THREE))
Body = Callable[["Moves", Client], Awaitable[None]]


def step(
    now: Membership,
    *target: Member,
    known: set[int] | None = None,
    behind: set[int] | None = None,
    leaving: set[int] | None = None,
    me: int = 1,
    version: int = 0,
):
    """What replica 1 does; all logs are recorded and all have caught up, if nothing else is said."""
    initialised = frozenset(ReplicaId(n) for n in (known if known is not None else {1, 2, 3, 4, 5}))
    wish = Reassign(target or None, initialised, version)
    return next_step(
        now,
        wish,
        me=ReplicaId(me),
        is_caught_up=lambda replica: replica not in (behind or set()),
        leaves=lambda replica: replica in (leaving or set()),
    )


def test_who_is_missing_learns_first() -> None:
    """All at once; the voters stay."""
    assert Membership(voters=(ONE, TWO, THREE), learners=(FOUR, FIVE)) == step(THREE_VOTERS, ONE, FOUR, FIVE)


def test_nobody_becomes_a_voter_before_it_has_caught_up_and_is_recorded() -> None:
    """Either alone is not enough."""
    learning = Membership(voters=(ONE, TWO, THREE), learners=(FOUR,))
    assert step(learning, ONE, TWO, FOUR, behind={4}) is None
    assert step(learning, ONE, TWO, FOUR, known={1, 2, 3}) is None
    assert Membership(voters=(ONE, TWO, FOUR), outgoing=THREE_VOTERS.voters) == step(learning, ONE, TWO, FOUR)


def test_nothing_is_done_while_a_membership_is_joint_or_what_is_wanted_is_there() -> None:
    """The core leaves a joint one by itself."""
    assert step(Membership(voters=(ONE, TWO, FOUR), outgoing=THREE_VOTERS.voters), ONE, TWO, FOUR) is None
    assert step(THREE_VOTERS, THREE, ONE, TWO) is None


def test_a_leader_that_is_not_wanted_hands_over_to_one_that_is() -> None:
    """If there is one that has all and does not stop; otherwise the change itself will do it."""
    learning = Membership(voters=THREE_VOTERS.voters, learners=(FOUR,))
    assert HandOver(ReplicaId(3)) == step(learning, TWO, THREE, FOUR, behind={2})
    assert HandOver(ReplicaId(3)) == step(learning, TWO, THREE, FOUR, leaving={2})
    assert Membership(voters=(FOUR,), outgoing=THREE_VOTERS.voters) == step(learning, FOUR)
    assert Membership(voters=(TWO, FOUR), outgoing=THREE_VOTERS.voters) == step(learning, TWO, FOUR, leaving={2})


def test_a_move_that_was_given_up_or_changed_leaves_no_learner_behind() -> None:
    """Who is not wanted any more stops learning; who is wanted instead begins."""
    learning = Membership(voters=THREE_VOTERS.voters, learners=(FOUR,))
    assert THREE_VOTERS == step(learning)
    assert Membership(voters=THREE_VOTERS.voters, learners=(FIVE,)) == step(learning, ONE, TWO, FIVE)
    assert THREE_VOTERS == step(learning, ONE, TWO)


def test_fewer_voters_need_no_learners() -> None:
    """One joint change."""
    assert Membership(voters=(ONE,), outgoing=THREE_VOTERS.voters) == step(THREE_VOTERS, ONE)


def test_voters_do_not_change_to_those_of_whom_most_are_away() -> None:
    """Nothing could be decided until they are back, and nobody could undo it."""
    assert step(THREE_VOTERS, ONE, THREE, behind={3}) is None
    assert step(Membership(voters=THREE_VOTERS.voters, learners=(FOUR,)), TWO, THREE, FOUR, behind={2, 3}) is None
    assert Membership(voters=(ONE, TWO, THREE), outgoing=(ONE, TWO, THREE, FOUR)) == step(
        Membership(voters=(ONE, TWO, THREE, FOUR)), ONE, TWO, THREE, behind={3}
    )


def test_a_membership_says_for_which_wish_it_was_made() -> None:
    """Also if that asks for nobody else than who is there: an older one must not be acted on after it."""
    learning = Membership(voters=THREE_VOTERS.voters, learners=(FOUR,), version=7)
    assert learning == step(THREE_VOTERS, ONE, TWO, FOUR, version=7)
    joint = Membership(voters=(ONE, TWO, FOUR), outgoing=THREE_VOTERS.voters, version=7)
    assert joint == step(learning, ONE, TWO, FOUR, version=7)
    assert 7 == joint.final().version
    back = Membership(voters=THREE_VOTERS.voters, version=8)
    assert [back, back] == [step(now, ONE, TWO, THREE, version=8) for now in (learning, THREE_VOTERS)]
    assert step(back, ONE, TWO, THREE, version=8) is None


def test_a_wish_that_is_older_than_the_log_is_not_acted_on() -> None:
    """Neither a move, nor one that was given up before another one began."""
    learning = Membership(voters=THREE_VOTERS.voters, learners=(FOUR,), version=8)
    assert [None] * 3 == [step(learning, *target, version=7) for target in ((ONE, TWO, FIVE), (ONE, TWO, FOUR), ())]


def test_what_is_not_sent_to_learners_does_not_add_up() -> None:
    """And what was sent too much is taken from what comes."""
    budget = CatchUp(bytes_per_s_max=1000, tick_s=0.1)
    assert 100 == budget.left(1)
    budget.spend(250)
    assert [-150, -50, 50, 100, 100] == [budget.left(tick) for tick in (1, 2, 3, 4, 99)]
    assert 250 == budget.sent_bytes


class Moves(SimCluster):
    """Five nodes; replicas can be added by hand, as the controller would have it done."""

    def all_running(self) -> dict[int, Running]:
        """The topic's replicas, by node."""
        return {number: run for number, node in self.running.items() for run in node.broker.running.values()}

    def node_of(self, replica: Replica) -> int:
        """Where it runs."""
        return next(number for number, run in self.all_running().items() if run.replica is replica)

    def leader(self) -> Replica:
        """The one whose term is the highest."""
        leaders = [run.replica for run in self.all_running().values() if run.replica.raft.is_leader]
        return max(leaders, key=lambda replica: replica.raft.term)

    async def add(self, node: int) -> Member:
        """A blank replica, recorded."""
        broker, partition = self.running[node].broker, self.leader().partition
        assigned = Assigned(replica=ReplicaId(1000 + node), node=NodeId(node))
        identity = ReplicaIdentity(cluster=broker._cluster, partition=partition, replica=assigned.replica)
        missing = Missing(assigned, directory_of(partition, assigned), identity, BLANK, preferred=False)
        assert [] == await broker._reconciling._start([missing])
        await broker.running[partition].ref.tell(AllowVote())
        return Member(replica=assigned.replica, node=assigned.node)

    async def wish(self, *target: Member, version: int = 0, nodes: set[int] | None = None) -> None:
        """The controller's, to all of them, or to those of some nodes."""
        for number, run in self.all_running().items():
            if nodes is None or number in nodes:
                await run.ref.tell(Reassign(target or None, frozenset(member.replica for member in target), version))

    def confirms(self, node: int, *target: Member, abandoned: Member, version: int) -> bool:
        """Whether the controller would take what a node's leader says for the end of that move."""
        there = tuple(Assigned(replica=member.replica, node=member.node, initialised=True) for member in target)
        left = Assigned(replica=abandoned.replica, node=abandoned.node, initialised=True)
        told = self.running[node].broker.reports._memberships.values()
        placement = Placement(number=0, replicas=there, target=there, abandoned=(left,), since=version)
        return any(arrived(placement, said) for said in told)

    async def until(self, *members: Member) -> None:
        """These are the voters, and that is committed."""
        async with asyncio.timeout(30):
            while True:
                standing = self.standing()
                now = standing.membership if standing is not None else BLANK
                if set(now.voters) == set(members) and not (now.joint or now.learners):
                    return
                await asyncio.sleep(0.1)

    def standing(self) -> Standing | None:
        """What the leader would tell the controller."""
        leaders = [run.replica for run in self.all_running().values() if run.replica.raft.is_leader]
        return leaders[0].changing.standing() if len(leaders) == 1 else None

    def entries(self, node: int) -> list[object]:
        """All of a replica's log."""
        log = self.all_running()[node].replica.log
        return list(log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40))


def on_five_nodes(body: Body) -> Callable[[], None]:
    """A test with a topic of one partition on three of five nodes, for several seeds."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = Moves(loop, nodes=5)
        await cluster.start_all()
        client = cluster.client("writer")
        await asyncio.sleep(3)  # of virtual time: they choose a controller
        await client.create_topic(TOPIC, partitions=1, replicas=3)
        await body(cluster, client)
        await client.abandon()
        assert [] == cluster.fabric.failed
        assert [] == cluster.fatal

    def test() -> None:
        for seed in (1, 2, 3):
            simulate(run(), seed)

    test.__doc__ = body.__doc__
    return test


@pytest.mark.slow
@on_five_nodes
async def test_a_partition_moves_away_from_its_leader(cluster: Moves, client: Client) -> None:
    """Two of three replicas go, the leader's among them, while records are published; the new ones have everything."""
    await fill(client, 0, 50)
    leader = cluster.leader()
    old = leader.raft.membership.voters
    spare = [node for node in cluster.nodes if node not in {member.node for member in old}]
    stays = next(member for member in old if member.replica != leader.me)
    target = (stays, *[await cluster.add(node) for node in spare])
    await cluster.wish(*target)
    await fill(client, 50, 100)
    await cluster.until(*target)
    await fill(client, 100, 150)
    await asyncio.sleep(2)

    assert list(range(150)) == await read_all(client)
    assert cluster.entries(int(target[0].node)) == cluster.entries(int(target[1].node)) == cluster.entries(spare[1])
    assert [False] * 3 == [cluster.all_running()[int(m.node)].replica.raft.is_blank for m in target]
    assert leader.me not in cluster.leader().raft.voters


@pytest.mark.slow
@on_five_nodes
async def test_a_change_goes_on_when_its_leaders_die(cluster: Moves, client: Client) -> None:
    """Leaders are killed while the members move; in the end all is as wanted, and nothing is lost."""
    await fill(client, 0, 50)
    old = cluster.leader().raft.membership.voters
    spare = [node for node in cluster.nodes if node not in {member.node for member in old}]
    target = (old[0], old[1], await cluster.add(spare[0]))
    await cluster.wish(*target)
    for delay_s in (0.05, 0.15, 0.4):
        await asyncio.sleep(delay_s)
        leader = next((run for run in cluster.all_running().values() if run.replica.raft.is_leader), None)
        if leader is not None and leader.assigned.node not in spare:  # nobody would start the new one again
            cluster.crash(int(leader.assigned.node))
            await asyncio.sleep(1)
            await cluster.start(int(leader.assigned.node))
            await cluster.wish(*target)
    await cluster.until(*target)
    await fill(client, 50, 60)

    assert list(range(60)) == await read_all(client)


@pytest.mark.slow
@on_five_nodes
async def test_a_cancelled_move_takes_its_learner_out_again(cluster: Moves, client: Client) -> None:
    """The learner's node is dead: it blocks nothing, and then it is not wanted any more."""
    await fill(client, 0, 10)
    old = cluster.leader().raft.membership.voters
    dead = next(node for node in cluster.nodes if node not in {member.node for member in old})
    member = await cluster.add(dead)
    cluster.crash(dead)
    await cluster.wish(old[0], old[1], member)
    await asyncio.sleep(1)
    assert (member,) == cluster.leader().raft.membership.learners
    await fill(client, 10, 20)
    standing = cluster.standing()
    assert standing is not None
    assert standing.behind_bytes > 0
    await cluster.wish()
    await cluster.until(*old)

    assert list(range(20)) == await read_all(client)
    assert PartitionId(cluster.leader().partition.topic, 0) == cluster.leader().partition
    assert cluster.leader().log.fold.membership_index > Index(0)


@pytest.mark.slow
@on_five_nodes
async def test_a_partition_does_not_shrink_to_a_node_that_is_dead(cluster: Moves, client: Client) -> None:
    """Of two members one would be away, and nothing be decided any more: the three that there are go on."""
    await fill(client, 0, 10)
    leader = cluster.leader()
    me = next(member for member in leader.raft.membership.voters if member.replica == leader.me)
    dead = next(member for member in leader.raft.membership.voters if member != me)
    cluster.crash(int(dead.node))
    await asyncio.sleep(3)
    await cluster.wish(me, dead)
    await asyncio.sleep(1)
    await fill(client, 10, 20)
    await cluster.start(int(dead.node))
    await cluster.until(me, dead)

    assert list(range(20)) == await read_all(client)


@pytest.mark.slow
@on_five_nodes
async def test_a_leader_that_was_followed_confirms_no_newer_wish(cluster: Moves, client: Client) -> None:
    """Its process stood still while others went on. The move back that it hears of is not done: who came counts."""
    await fill(client, 0, 10)
    old = cluster.leader()
    voters, number = old.raft.membership.voters, cluster.node_of(old)
    spare = next(node for node in cluster.nodes if node not in {member.node for member in voters})
    others = tuple(member for member in voters if member.replica != old.me)
    added = await cluster.add(spare)
    old._around = replace(old._around, pulse=Pulse())  # no tick reaches it
    for member in (*others, added):
        cluster.cut(number, int(member.node))
    await cluster.wish(*others, added, version=1, nodes={int(member.node) for member in (*others, added)})
    async with asyncio.timeout(30):
        while {*others, added} != set(cluster.leader().raft.membership.voters):  # noqa: ASYNC110  of virtual time
            await asyncio.sleep(0.1)
    await cluster.wish(*voters, version=2, nodes={number})
    await asyncio.sleep(0.3)

    assert old.raft.is_leader
    assert not cluster.confirms(number, *voters, abandoned=added, version=2)


@pytest.mark.slow
@on_five_nodes
async def test_a_leader_that_has_not_heard_of_a_cancelled_move_does_not_go_on_with_it(
    cluster: Moves, client: Client
) -> None:
    """The one before it has said that all is as it was: so what was to come has lost its files since."""
    await fill(client, 0, 10)
    old = cluster.leader()
    voters, number = old.raft.membership.voters, cluster.node_of(old)
    spare = next(node for node in cluster.nodes if node not in {member.node for member in voters})
    others = [member for member in voters if member.replica != old.me]
    added = await cluster.add(spare)
    later = {int(member.node) for member in others}
    await cluster.wish(*others, added, version=1, nodes=later)
    await cluster.wish(*voters, version=2, nodes={number})
    await asyncio.sleep(0.5)
    assert cluster.confirms(number, *voters, abandoned=added, version=2)

    term = old.raft.term
    old.raft.transfer(None)
    old.post(Tick())
    await asyncio.sleep(5)
    assert cluster.leader().raft.term > term
    assert set(voters) == set(cluster.leader().raft.membership.everybody())


@pytest.mark.slow
@on_five_nodes
async def test_a_partition_does_not_shrink_to_a_replica_that_is_dead(cluster: Moves, client: Client) -> None:
    """It would decide nothing until that comes back; so the others go on, and when it has come, it is done."""
    await fill(client, 0, 10)
    old = cluster.leader()
    dead = next(member for member in old.raft.membership.voters if member.replica != old.me)
    cluster.crash(int(dead.node))
    await asyncio.sleep(3)
    await cluster.wish(dead, version=1)
    await asyncio.sleep(3)
    await fill(client, 10, 20)
    assert not cluster.leader().raft.membership.joint
    await cluster.start(int(dead.node))
    await asyncio.sleep(3)
    await cluster.wish(dead, version=1)
    await cluster.until(dead)

    assert list(range(20)) == await read_all(client)
