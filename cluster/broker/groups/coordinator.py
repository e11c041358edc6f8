"""The coordinator of the groups whose partitions this node leads: who is there, who is told what, who has to go.

What is decided is in the replicated state. What is here can be lost with the node, and is: a new leader knows all
members from the state, gives each of them the grace to come back, and tells each what it holds when it does.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

import structlog

from cluster.broker.broker import Broker
from cluster.broker.groups import commands
from cluster.broker.groups.group import Group, Member
from cluster.broker.groups.home import answered, check_name, decide, home_here, propose
from cluster.broker.groups.releasing import Releasing
from cluster.broker.groups.session import LEFT, Session
from cluster.broker.groups.state import Groups
from cluster.broker.replica import Replica
from cluster.broker.running import Running
from cluster.config import BrokerOptions
from cluster.errors import InvalidRequest, RiverrunError, Unavailable, UnknownMember
from cluster.types import Offset, PartitionId, Term, TopicId
from cluster.wire import api
from cluster.wire.attach import SUPERSEDED, coordinator_pb2, held_from_pb, held_to_pb, introduction, topics_of
from cluster.wire.peer import Hello
from cluster.world import Call

log_event = structlog.get_logger()
Who = tuple[str, int]
"""Group and member."""


class Coordinator:
    """Serves Attach. `check` refuses whoever is no node of this cluster."""

    def __init__(self, *, broker: Broker, check: Callable[[Hello, int, Call], object], options: BrokerOptions) -> None:
        self._broker = broker
        self._check = check
        self._options = options
        self._sessions: dict[PartitionId, dict[str, dict[int, Session]]] = defaultdict(lambda: defaultdict(dict))
        """By group and member: a change of one group costs nothing for the sessions of the others."""
        self._graces: dict[PartitionId, dict[Who, asyncio.TimerHandle]] = defaultdict(dict)
        self._led: dict[PartitionId, Term] = {}
        self._on_their_way: Counter[tuple[PartitionId, str, bytes]] = Counter()
        """By home, group and session: whose join is not decided yet. They have come in time, whenever that is."""
        self._releasing: dict[tuple[PartitionId, str], Releasing] = {}
        """By home and group: where something is being released now."""
        self._tasks: set[asyncio.Task[None]] = set()
        broker.on_folded.append(self._folded)
        broker.on_deleted.append(self._topic_deleted)

    def is_connected(self, home: PartitionId, group: str, member: int) -> bool:
        """Whether the member's stream is there now."""
        return self._session(home, (group, member)) is not None

    def grace_left_s(self, home: PartitionId, group: str, member: int) -> float | None:
        """Until a member without a stream loses what it holds; None: it has one."""
        timer = self._graces[home].get((group, member))
        return None if timer is None else max(timer.when() - asyncio.get_running_loop().time(), 0.0)

    def quiet_s(self, home: PartitionId, group: str, member: int, partition: PartitionId) -> float | None:
        """For how long a member has committed nothing new of what it holds; None: its stream is not there."""
        session = self._session(home, (group, member))
        return None if session is None else session.quiet_s(partition)

    def _session(self, home: PartitionId, who: Who) -> Session | None:
        group, member = who
        return self._sessions[home].get(group, {}).get(member)

    # --- one member's presence

    async def attach(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """See the proto."""
        first = api.parse(coordinator_pb2.AttachRequest, await anext(requests, b""))
        if not first.HasField("attach"):
            raise InvalidRequest("the first message of a member's stream must be attach")
        attach = first.attach
        self._check(*introduction(attach), call)
        check_name(attach.group)
        running = home_here(self._broker, attach.group)
        if attach.leaving:
            await decide(running, commands.LeaveSession(attach.group, attach.session))
            yield LEFT
            return
        gone = self._broker.directory.deleted  # the node names what it was asked for, when that was there
        topics = {topic: count for topic, count in topics_of(attach).items() if topic not in gone}
        join = commands.Join(attach.group, attach.session, attach.client, topics)
        who = attach.group, (await self._joined(running, join)).member
        session = Session(who, self._options.member_commits_max)
        self._arrived(running.replica.partition, session)
        taking = asyncio.create_task(self._take_all(running, session, requests))
        taking.add_done_callback(session.end_with)
        try:
            async for message in session.messages():
                yield message
        finally:
            taking.cancel()
            self._went(running.replica.partition, session)

    async def _joined(self, running: Running, join: commands.Join) -> commands.Answer:
        """The answer. Whoever is a member by then is waited for like one that lost its stream, should this one end."""
        home = running.replica.partition

        def decided(reply: "asyncio.Future[commands.Answer]") -> None:
            if reply.cancelled() or reply.exception() is not None:
                return
            who = join.group, reply.result().member
            if self._is_member(home, who) and self._session(home, who) is None:
                self._miss(home, who)

        on_its_way = home, join.group, join.session
        self._on_their_way[on_its_way] += 1
        try:
            reply = await propose(running, join)
            reply.add_done_callback(decided)
            return answered(await asyncio.shield(reply))
        finally:
            self._on_their_way[on_its_way] -= 1
            if not self._on_their_way[on_its_way]:
                del self._on_their_way[on_its_way]

    def _arrived(self, home: PartitionId, session: Session) -> None:
        group, member = session.who
        before = self._session(home, session.who)
        if before is not None:
            before.end(Unavailable("the member has another stream now", **SUPERSEDED))
        self._sessions[home][group][member] = session
        self._keep(home, session.who)
        running = self._broker.running.get(home)
        if running is None or not running.replica.raft.is_leader:
            session.end(Unavailable("the group has another coordinator now"))
        else:
            self._tell(running.replica, group)

    def _went(self, home: PartitionId, session: Session) -> None:
        group, member = session.who
        if self._session(home, session.who) is session:
            del self._sessions[home][group][member]
            if not self._sessions[home][group]:
                del self._sessions[home][group]
            if self._is_member(home, session.who):
                self._miss(home, session.who)

    async def _take_all(self, running: Running, session: Session, requests: AsyncIterator[bytes]) -> None:
        group, member = session.who
        async for data in requests:
            request = api.parse(coordinator_pb2.AttachRequest, data)
            match request.WhichOneof("request"):
                case "commit":
                    positions = [(*held_from_pb(held), Offset(held.position)) for held in request.commit.positions]
                    await session.room()
                    session.commits(positions)
                    reply = await propose(running, commands.Commit(group, member, positions))
                    session.answer_when_done(request.commit.correlation, reply)
                case "release":
                    held = [held_from_pb(item) for item in request.release.held]
                    await session.room()
                    self._release(running, session, held)
                case "leave":
                    session.left = True
                    await decide(running, commands.Leave(group, member))
                    session.say_left()
                    return
                case _:
                    raise InvalidRequest("a member's stream says commit, release or leave")

    def _release(self, running: Running, session: Session, held: list[tuple[PartitionId, int]]) -> None:
        whose = running.replica.partition, session.who[0]
        releasing = self._releasing.get(whose)
        if releasing is None:
            releasing = self._releasing[whose] = Releasing(running, session.who[0])
            self._start(self._release_all(whose, releasing))
        releasing.add(session, held)

    async def _release_all(self, whose: tuple[PartitionId, str], releasing: Releasing) -> None:
        try:
            await releasing.run()
        finally:
            del self._releasing[whose]

    # --- who is told what

    def _folded(self, replica: Replica) -> None:
        """The commit, or who leads, has changed in a partition of groups."""
        home, machine = replica.partition, replica.log.fold.machine
        if not isinstance(machine, Groups):
            return
        if not replica.raft.is_leader:
            self._led.pop(home, None)
            self._drop_all(home, replica)
            machine.touched.clear()  # whoever attaches here once it leads is told then
        elif self._led.get(home) != replica.raft.term:
            self._led[home] = replica.raft.term
            self._drop_all(home, replica)
            for name, group in machine.by_name.items():
                for member in group.members:
                    self._miss(home, (name, member))
            self._forget_topics(home, self._broker.directory.deleted)
        for name in [name for name, index in machine.touched.items() if index <= replica.raft.commit]:
            del machine.touched[name]
            self._tell(replica, name)

    def _tell(self, replica: Replica, name: str) -> None:
        """Tell the group's members what they hold, if all of it is committed; if not, they are told when it is."""
        machine = replica.log.fold.machine
        assert isinstance(machine, Groups)
        group = machine.by_name.get(name, Group())
        if group.changed > replica.raft.commit:
            machine.touched.setdefault(name, group.changed)
            return
        held: dict[int, list[coordinator_pb2.HeldPartition]] = defaultdict(list)
        for partition, holding in group.holdings.items():
            position = group.positions.get(partition)
            held[holding.member].append(
                held_to_pb(partition, holding.generation, position=position, asked_back=holding.asked_back)
            )
        for member, session in self._sessions[replica.partition].get(name, {}).items():
            if not session.left:
                if member in group.members:
                    session.tell(group.changed, held[member])
                else:
                    session.end(UnknownMember(f"this member is not in the group {name!r} any more; join again"))

    def _drop_all(self, home: PartitionId, replica: Replica) -> None:
        for sessions in self._sessions[home].values():
            for session in sessions.values():
                session.end(replica.not_leader())
        self._sessions[home].clear()
        for timer in self._graces[home].values():
            timer.cancel()
        self._graces[home].clear()

    # --- who has to go

    def _miss(self, home: PartitionId, who: Who) -> None:
        """The member has no stream: it may come back within the grace."""
        self._keep(home, who)
        loop = asyncio.get_running_loop()
        self._graces[home][who] = loop.call_later(self._options.session_grace_s, self._let_go, home, who)

    def _keep(self, home: PartitionId, who: Who) -> None:
        timer = self._graces[home].pop(who, None)
        if timer is not None:
            timer.cancel()

    def _let_go(self, home: PartitionId, who: Who) -> None:
        self._graces[home].pop(who, None)
        if home in self._led:
            self._start(self._remove(home, who))

    async def _remove(self, home: PartitionId, who: Who) -> None:
        member = self._member(home, who)
        if member is None or self._session(home, who) is not None:
            return
        if not self._on_their_way[home, who[0], member.session]:
            log_event.info("member_lost", group=who[0], member=who[1])
            await self._decide_if_led(home, commands.Leave(*who))
        if self._is_member(home, who) and self._session(home, who) is None:
            self._miss(home, who)  # it could not be decided now, or the member is on its way back

    def _is_member(self, home: PartitionId, who: Who) -> bool:
        return self._member(home, who) is not None

    def _member(self, home: PartitionId, who: Who) -> Member | None:
        """As this leader has it, committed or not; None as well if it leads no more."""
        running = self._broker.running.get(home)
        if running is None or home not in self._led:
            return None
        machine = running.replica.log.fold.machine
        assert isinstance(machine, Groups)
        group = machine.by_name.get(who[0])
        return group.members.get(who[1]) if group is not None else None

    # --- topics that are gone

    async def _topic_deleted(self, topic: TopicId) -> None:
        for home in list(self._led):
            self._forget_topics(home, [topic])

    def _forget_topics(self, home: PartitionId, deleted: Iterable[TopicId]) -> None:
        running = self._broker.running.get(home)
        if running is None:
            return
        machine = running.replica.log.fold.machine
        assert isinstance(machine, Groups)
        known = {p.topic for group in machine.by_name.values() for p in (*group.positions, *group.holdings)}
        for topic in known.intersection(deleted):
            self._start(self._decide_if_led(home, commands.ForgetTopic(topic)))

    async def _decide_if_led(self, home: PartitionId, command: commands.Command) -> None:
        running = self._broker.running.get(home)
        if running is not None:
            try:
                await decide(running, command)
            except RiverrunError as error:
                log_event.debug("group_command_failed", command=type(command).__name__, reason=error.reason)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """The node stops: nobody is told anything any more."""
        for task in self._tasks:
            task.cancel()
        for timers in self._graces.values():
            for timer in timers.values():
                timer.cancel()
