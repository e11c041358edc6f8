"""From one configuration of the quorum to the next, on one node; it may have a seat in either, in both, or in none.

Rules:
1. Two changes at once split a quorum, so members never change within a configuration. A seal is the last command of
   configuration k and names who is in k + 1; whoever applies it applies nothing of k behind it.
2. A fold has one source at a time: the instance of one configuration, or, outside the quorum, what a member tells.
3. A node takes part in k + 1 only with the state at the seal on its disk, as the beginning of a new journal: from its
   own fold if it has applied the seal, else fetched from whoever has. The seal was committed in k before anybody
   applied it, so that k + 1 is formed from nothing else.
4. A seat is a node with a data directory. Who comes with another one was wiped, and is turned away: it may have voted.
5. The journal of k, and a state that is only kept for others, go when k + 1 is formed: a majority of it has agreed on
   something, so every majority has the state.
6. A message of an older configuration is answered with the newest one; of a newer one the sender is asked.
"""

import contextlib
from collections.abc import Callable

import structlog

from cluster.config import ControllerOptions
from cluster.controller.quorum import Fold, between
from cluster.controller.quorum.adapter import PySyncObjQuorum
from cluster.controller.quorum.between import Between, Fetch, Follow, Here, News, Outcome, Pass, Piece, TurnedAway
from cluster.controller.quorum.following import Following, Gathering
from cluster.controller.quorum.serving import Serving
from cluster.controller.quorum.storage import Beginning, Record, Storage, other_directory
from cluster.errors import CorruptStorage, DiskFull, RefusedToStart
from cluster.metadata import QuorumConfiguration, Seat
from cluster.types import NodeId
from cluster.world import Clock, Disk, Random

log_event = structlog.get_logger()
BETWEEN = 0
"""The configuration number of messages that belong to none."""
FETCH_EVERY_S = 1.0


class Quorums:
    """See Quorum. `first`: the members of the first configuration; empty on a node that joins a cluster."""

    def __init__(
        self,
        *,
        me: NodeId,
        directory: Callable[[], bytes],
        first: tuple[NodeId, ...],
        disk: Disk,
        clock: Clock,
        random: Random,
        options: ControllerOptions,
        send: Callable[[NodeId, int, bytes], bool],
        fold: Fold,
    ) -> None:
        self._me = me
        self._directory = directory
        self._disk = disk
        self._clock = clock
        self._random = random
        self._options = options
        self._send = send
        self._fold = fold
        self._storage = Storage(disk)
        self._serving = Serving(fold, options, self._tell)
        self._following = Following(clock, me, self._tell)
        self._instance: PySyncObjQuorum | None = None
        self._known = QuorumConfiguration(number=int(bool(first)), seats=tuple(Seat(node=node) for node in first))
        """The newest that this node has heard of."""
        self._formed = False
        self._cleaned = 0
        """Before this configuration nothing is kept any more."""
        self._beginning: Beginning | None = None
        """The newest one that this node can give."""
        self._sealed: Beginning | None = None
        """Just applied, and not acted on yet."""
        self._linked: dict[NodeId, None] = {}
        self._fetched: dict[NodeId, Gathering] = {}  # by who sends it: another version encodes it otherwise
        self._fetched_s = float("-inf")
        self._turned_away = ""

    # --- see Quorum

    def start(self) -> None:
        """See Quorum."""
        record = self._storage.record()
        journals = self._storage.journals()
        if record is not None:
            self._known = record.configuration
        newest = journals[-1] if journals else 0
        if record is not None and not record.journal and newest < self._known.number:
            self._storage.remove_before(self._known.number)  # the power went before that was done
            newest = 0
        if newest > 1:
            journal, self._beginning = self._storage.open(newest)
            assert self._beginning is not None
            configuration = self._beginning.configuration
            self._know(configuration)
            self._fold.restore(self._beginning.state)
            if self._has_seat(configuration):
                self._begin(configuration, journal)
            else:
                journal._destroy()  # noqa: SLF001
        elif self._known.number == 1 and self._has_seat(self._known):
            self._begin(self._known, self._storage.open(1)[0])
        elif newest:
            raise CorruptStorage("a controller's journal of which nothing says who its members are: replace this node")

    def tick(self) -> None:
        """See Quorum. RefusedToStart if this node's seat is another directory's."""
        if self._turned_away:
            raise RefusedToStart(self._turned_away)
        if self._instance is not None:
            self._instance.tick()
        if self._sealed is not None:
            self._move()
        instance = self._instance
        if instance is not None and self._cleaned < instance.number == self._known.number and instance.is_formed():
            self._is_formed()
        if not self._formed or self._number() < self._known.number:
            self._catch_up()
        if self._instance is None:
            self._following.tick(self._members(), self._fold.applied())
        self._serving.tick(self.leader())

    async def propose(self, command: bytes, *, timeout_s: float) -> bytes:
        """See Quorum."""
        if self._instance is not None:
            return await self._instance.propose(command, timeout_s=timeout_s)
        return await self._following.propose(command, self._members(), timeout_s)

    def leader(self) -> NodeId | None:
        """See Quorum."""
        return self._instance.leader() if self._instance is not None else self._following.leader

    def is_leader(self) -> bool:
        """See Quorum."""
        return self._instance is not None and self._sealed is None and self._instance.is_leader()

    def members(self) -> tuple[NodeId, ...]:
        """See Quorum."""
        return self._known.members

    def weight(self) -> tuple[int, int]:
        """See Quorum."""
        return self._instance.weight() if self._instance is not None else (0, 0)

    def receive(self, node: NodeId, number: int, body: bytes) -> None:
        """See Quorum."""
        if number == BETWEEN:
            self._receive_between(node, between.decode(body))
        elif self._instance is not None and number == self._instance.number and self._sealed is None:
            self._instance.receive(node, body)
        elif number != self._known.number and node in self._linked:
            self._tell(node, self._here())

    def peer_up(self, node: NodeId) -> None:
        """See Quorum."""
        self._linked[node] = None
        self._tell(node, self._here())
        if self._instance is not None:
            self._instance.peer_up(node)

    def peer_down(self, node: NodeId) -> None:
        """See Quorum."""
        self._linked.pop(node, None)
        self._serving.forget(node)
        self._following.lost(node)
        if self._instance is not None:
            self._instance.peer_down(node)

    def stop(self) -> None:
        """See Quorum."""
        self._serving.close()
        if self._instance is not None:
            self._instance.stop()

    # --- configurations

    def _begin(self, configuration: QuorumConfiguration, journal: object) -> None:
        """Take part in it: its journal is on disk, and the fold is what it begins with."""
        number = configuration.number
        instance = PySyncObjQuorum(
            me=self._me,
            members=configuration.members,
            disk=self._disk,
            clock=self._clock,
            random=self._random,
            options=self._options,
            send=lambda node, body: self._send(node, number, body),
            apply=lambda command: self._apply_in(number, command),
            number=number,
            journal=journal,  # type: ignore[arg-type]
        )
        self._following.stop()
        self._instance = instance
        self._storage.write_record(Record(configuration=self._known, journal=number))
        instance.start()
        for node in self._linked:
            instance.peer_up(node)

    def _apply_in(self, number: int, command: bytes) -> bytes:
        """Apply, unless it stands behind the seal."""
        if self._sealed is not None or self._instance is None or self._instance.number != number:
            return b""
        return self._take(command)

    def _take(self, command: bytes) -> bytes:
        before = self._fold.quorum().number
        result = self._fold.apply(command)
        self._serving.applied(command)
        configuration = self._fold.quorum()
        if configuration.number > before:
            self._sealed = Beginning(configuration=configuration, state=self._fold.encode())
        return result

    def _move(self) -> None:
        """The seal was applied here: what is behind it begins. On a full disk, later."""
        sealed, instance = self._sealed, self._instance
        assert sealed is not None
        newest = max(sealed.configuration, self._known, key=lambda known: known.number)
        seated = self._has_seat(sealed.configuration) and newest is sealed.configuration
        if seated or instance is not None:
            try:
                journal = self._storage.begin(sealed, newest)
            except DiskFull as error:
                log_event.warning("controller_disk_full", detail=error.message)
                return
            self._beginning = sealed
        self._sealed = None
        self._end_instance()
        self._know(sealed.configuration)
        log_event.info("quorum_sealed", configuration=sealed.configuration.number, members=self._known.members)
        if seated:
            self._begin(sealed.configuration, journal)
        elif instance is not None:
            journal._destroy()  # noqa: SLF001
            self._serving.forget_all()
        self._tell_all(self._here())

    def _end_instance(self) -> None:
        if self._instance is not None:
            self._instance.end()
            self._instance = None

    def _know(self, configuration: QuorumConfiguration, *, formed: bool = False) -> None:
        if configuration.number > self._known.number:
            self._known, self._formed = configuration, formed

    def _is_formed(self) -> None:
        """What came before the newest configuration is not needed any more, nor what is kept for others to begin it."""
        number = self._known.number
        seated = self._instance is not None and self._instance.number == number
        if not seated and self._known.seat_of(self._me) is not None:
            self._formed = True
            return  # its journal comes first
        try:
            self._storage.write_record(Record(configuration=self._known, journal=seated * number))
        except DiskFull:
            return  # it is heard of again
        self._formed, self._cleaned = True, number
        if not seated:
            self._end_instance()
            self._beginning = None
        self._storage.remove_before(number + (not seated))
        log_event.info("quorum_formed", configuration=number, member=seated)
        self._tell_all(self._here())

    def _catch_up(self) -> None:
        """Whatever was lost on its way comes again: what this node says is out of date is answered with what is not."""
        now = self._clock.monotonic_s()
        if now - self._fetched_s >= FETCH_EVERY_S:
            self._fetched_s = now
            if not self._formed:
                self._tell_all(self._here())
            self._fetch()

    def _fetch(self) -> None:
        """Ask for the state that this node needs for its seat, of everyone, for anyone may be the one who has it."""
        seat, number = self._known.seat_of(self._me), self._known.number
        if seat is None or number < 2 or self._number() == number:
            return
        if seat.directory != self._directory():
            self._turned_away = other_directory(self._me, self._known.number)
            return
        self._tell_all(Fetch(number=self._known.number, directory=self._directory()))

    def _install(self, state: bytes) -> None:
        """The state that this node's seat begins with has come."""
        beginning = Beginning(configuration=self._known, state=state)
        try:
            journal = self._storage.begin(beginning, self._known)
        except DiskFull:
            return  # it comes again
        self._end_instance()
        self._beginning, self._sealed = beginning, None
        self._fold.restore(state)
        self._begin(self._known, journal)

    def _has_seat(self, configuration: QuorumConfiguration) -> bool:
        seat = configuration.seat_of(self._me)
        return seat is not None and (configuration.number == 1 or seat.directory == self._directory())

    # --- between nodes

    def _receive_between(self, node: NodeId, message: Between) -> None:
        match message:
            case Here():
                self._heard(node, message)
            case Follow():
                if self._instance is not None and self._sealed is None:
                    self._serving.follow(node, message)
                else:
                    self._tell(node, self._here())
            case News():
                if self._instance is None and self._sealed is None:
                    self._follow_news(node, message)
            case Piece(number=number):
                self._take_piece(node, number, message)
            case Fetch():
                self._give(node, message)
            case TurnedAway(detail=detail):
                self._turned_away = detail
            case Pass():
                self._pass_on(node, message)
            case Outcome():
                self._following.outcome(node, message)

    def _heard(self, node: NodeId, message: Here) -> None:
        if message.number < self._known.number or (
            message.number == self._known.number and self._formed > message.formed
        ):
            self._tell(node, self._here())
            return
        if message.number > self._known.number:
            self._know(message.configuration(), formed=False)
            self._fetched_s = float("-inf")
            if self._instance is None:
                own = self._beginning.configuration.number if self._beginning is not None else 0
                with contextlib.suppress(DiskFull):  # whom to ask after a start is no promise
                    self._storage.write_record(Record(configuration=self._known, journal=own))
        if message.formed and not self._formed:
            if message.number > 1:
                self._is_formed()
            else:
                self._formed = True

    def _follow_news(self, node: NodeId, message: News) -> None:
        for command in self._following.news(node, message, self._fold.applied()):
            self._take(command)
            if self._sealed is not None:
                return  # the rest comes again, from where this node stands by then

    def _take_piece(self, node: NodeId, number: int, message: Piece) -> None:
        if number == 0 and self._instance is None and self._sealed is None:
            state = self._following.piece(node, message)
            if state is not None:
                self._fold.restore(state)
                self._know(self._fold.quorum())
        elif number == self._known.number and number > 1 and self._has_seat(self._known) and self._number() < number:
            state = self._fetched.setdefault(node, Gathering()).take(message)
            if state is not None:
                self._fetched.clear()
                self._install(state)

    def _number(self) -> int:
        return self._instance.number if self._instance is not None else 0

    def _give(self, node: NodeId, message: Fetch) -> None:
        if self._beginning is None or self._beginning.configuration.number != message.number:
            if message.number < self._known.number:
                self._tell(node, self._here())
            return
        seat = self._beginning.configuration.seat_of(node)
        if seat is None or seat.directory != message.directory:
            self._tell(node, TurnedAway(detail=other_directory(node, message.number)))
            return
        self._serving.start_with(node, message.number, self._beginning.state)

    def _pass_on(self, node: NodeId, message: Pass) -> None:
        instance = self._instance
        if instance is None or self._sealed is not None:
            self._tell(node, Outcome(id=message.id, reason="UNAVAILABLE", message=f"node {self._me} is no member"))
            return
        timeout_s = self._options.command_timeout_s
        self._serving.pass_on(node, message, lambda command: instance.propose(command, timeout_s=timeout_s))

    def _members(self) -> list[NodeId]:
        """Whom to follow: linked members, or, where none is known, anybody, who then says who they are."""
        members = [node for node in self._known.members if node in self._linked]
        return members or sorted(self._linked)

    def _here(self) -> Here:
        return between.here(self._known, formed=self._formed)

    def _tell(self, node: NodeId, message: Between) -> bool:
        return self._send(node, BETWEEN, between.encode(message))

    def _tell_all(self, message: Between) -> None:
        for node in self._linked:
            self._tell(node, message)
