"""A Raft group in one process: virtual time, a simulated network, simulated disks, and everything that goes wrong.

No asyncio and no threads: a heap of events, run in order. All chance comes from the seed, so the same seed gives the
same trace, in every process. After the storm everything heals, and then there must be progress and equal logs.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from cluster.membership import BLANK
from cluster.messages import HeartbeatReply, TailQuery
from cluster.raft import Membership, Raft
from cluster.types import Index, ReplicaId, Term, Ticket
from tests.raft.sim import ending, thinning
from tests.raft.sim.changes import Changes
from tests.raft.sim.disk import Disk
from tests.raft.sim.faults import Faults
from tests.raft.sim.host import Host, Packet, Publish, WithoutRoom
from tests.raft.sim.invariants import Invariants, Violation
from tests.raft.sim.network import Network
from tests.raft.sim.producers import Producer
from tests.raft.sim.stored import Fold, members
from tests.raft.sim.swarm import ALL_SECONDS_MAX, MS, SECOND, Mix, draw

TRACE_LINES = 400
EVENTS_MAX = 2_000_000
"""Of a seed; most have some thousands."""
PROGRESS_AFTER_STORM = 3
"""Commands of each producer that must be acknowledged after everything has healed."""


class World:
    """One seed."""

    def __init__(self, seed: int, *, core: type[Raft] = Raft, obligations: bool = True, trace: bool = False) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.chance = Random(f"{seed} compaction")
        streams = (Random(f"{seed} {name}") for name in ("membership", "mix of room", "mix of again"))
        self.mix: Mix = draw(self.random, self.chance, *streams)
        self.room = Random(f"{seed} room")
        self.core_class = core
        self.now = 0
        self.events = 0
        self.digest = seed
        self.counts: Counter[str] = Counter()
        self.trace: deque[str] | None = deque(maxlen=TRACE_LINES) if trace else None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._planned = 0
        mix = self.mix
        self.minority = (mix.nodes - 1) // 2
        self.damaged_max = min(self.minority, (mix.voters_min - 1) // 2) if mix.change_us_mean else self.minority
        """Replicas that may have lost something at once."""
        first = Membership(voters=members(*range(1, mix.nodes + 1)))
        empty = Fold(Index(0), Term(0), 0, (0,) * (mix.producers + 1), first)
        self.empty = empty
        self.blank = replace(empty, membership=BLANK)
        self.invariants = Invariants(empty=empty, obligations=obligations)
        self.network = Network(mix, self.random)
        self.hosts = [
            Host(self, ReplicaId(n), Disk(empty), may_vote=self.random.random() >= mix.late_voters)
            for n in range(1, mix.nodes + 1)
        ]
        self.invariants.disks = [host.disk for host in self.hosts]
        self.producers = [Producer(self, number) for number in range(1, mix.producers + 1)]
        self.faults = Faults(self)
        self.changes = Changes(self)
        self.sync_us = mix.sync_us
        self.stormy = True
        self.transfer_target: ReplicaId | None = None
        self.healed_at: list[int] = []

    # --- time

    def after(self, delay_us: int, act: Callable[..., None], *arguments: object) -> None:
        """Do that later."""
        self._planned += 1
        heappush(self._heap, (self.now + delay_us, self._planned, act, arguments))

    def run(self) -> "World":
        """All of it; raises what went wrong."""
        mix, random = self.mix, self.random
        for host in self.hosts:
            self.boot(host)
            if not host.may_vote:
                late = random.randint(0, 3 * SECOND) + self.faults.wipes.choice((0, 10 * SECOND))
                self.after(late, self._allow_vote, host)
                self.after(self.faults.wipes.randint(0, late), self.faults.crash, host)
        for producer in self.producers:
            self.after(random.randint(0, SECOND), producer.act)
        self.after(random.randint(0, mix.fault_us_mean), self.faults.act)
        if mix.transfer_us_mean:
            self.after(mix.transfer_us_mean, self._transfer)
        self.after(mix.barrier_us_mean, self._ask_barrier)
        if mix.hint_us_mean:
            self.after(mix.hint_us_mean, self._hint)
        if mix.floor_us_mean:
            self.after(mix.floor_us_mean, self._raise_floor)
        if mix.change_us_mean:
            self.after(mix.change_us_mean, self.changes.act)
        self.after(mix.stormy_us, self._calm)
        heap = self._heap
        while heap:
            self.now, _, act, arguments = heappop(heap)
            self.events += 1
            if self.events > EVENTS_MAX:
                raise Violation(f"it never ends: {EVENTS_MAX:,} events by {self.now / SECOND:.1f} s")
            act(*arguments)
        return self

    def count(self, what: str) -> None:
        """It happened."""
        self.counts[what] += 1

    def note(self, host: Host, what: str, *details: object) -> None:
        """A line of the trace, if there is one."""
        if self.trace is not None:
            state = (
                f"{host.role.name[:3].lower()} t{host.core.term} {host.core.commit}/{host.core.last_index}"
                if host.up
                else "down"
            )
            self.trace.append(f"{self.now / SECOND:10.6f} {host.me} {state:16} {what} {' '.join(map(str, details))}")

    # --- hosts

    def boot(self, host: Host) -> None:
        """Start a host, its clock and its disk."""
        host.boot()
        self.note(host, "boot", host.disk.vote, host.disk.doubts or "", "recovering" if host.disk.recovering else "")
        self.links_changed()
        self.after(self.random.randint(0, self.of(host.me, self.mix.tick_us)), self._tick, host, host.incarnation)

    def mint(self) -> Host:
        """A replica more, which belongs to nobody yet."""
        host = Host(self, ReplicaId(len(self.hosts) + 1), Disk(self.blank), may_vote=True)
        self.hosts.append(host)
        self.invariants.disks = [host.disk for host in self.hosts]
        self.boot(host)
        return host

    def wipe(self, host: Host) -> None:
        """Its disk is gone, and its log begins anew under the same id."""
        host.disk = Disk(self.empty)
        host.term_said = Term(0)
        self.invariants.disks = [other.disk for other in self.hosts]
        self.count("unrecorded_wiped")

    def stop(self, host: Host) -> None:
        """It is not needed any more, and never comes back."""
        if host.up:
            host.crash()
        host.stopped = True

    def asked_for_vote(self, replica: ReplicaId) -> None:
        """Somebody campaigns."""
        if replica in self.changes.removed:
            self.count("removed_ask_for_votes")

    def _tick(self, host: Host, incarnation: int) -> None:
        if host.incarnation != incarnation:
            return
        if host.paused_until <= self.now:
            host.tick()
            self._seen(host, 1)
        self.after(self.of(host.me, self.mix.tick_us), self._tick, host, incarnation)

    @staticmethod
    def of(replica: ReplicaId, drawn: tuple[int, ...]) -> int:
        """What was drawn for a replica's host; later ones share that with earlier ones."""
        return drawn[(replica - 1) % len(drawn)]

    def _arrive(self, host: Host, item: Packet | Publish | Ticket | WithoutRoom) -> None:
        """Into the inbox; taken at once, with what else comes in a moment, or after a pause."""
        host.inbox.append(item)
        if host.turn_planned:
            return
        wait = max(self.mix.turn_us, host.paused_until - self.now)
        if wait <= 0:
            host.turn()
            self._seen(host, 2)
        else:
            host.turn_planned = True
            self.after(wait, self._turn, host, host.incarnation)

    def _turn(self, host: Host, incarnation: int) -> None:
        if host.incarnation != incarnation:
            return
        if host.paused_until > self.now:
            self.after(host.paused_until - self.now, self._turn, host, incarnation)
            return
        host.turn()
        self._seen(host, 3)

    def _seen(self, host: Host, kind: int) -> None:
        core = host.core
        self.digest = hash((self.digest, self.now, kind, host.me, core.term, core.commit, core.last_index))

    def draw_election_ticks(self) -> int:
        """A core's only chance."""
        options = self.mix.options
        return self.random.randint(options.election_ticks_min, options.election_ticks_max)

    def links_changed(self) -> None:
        """A link came or went: the nodes notice soon, and wake the groups that share it."""
        if self.mix.options.idle_ticks_before_sleep:
            self.after(self.random.randint(100 * MS, 800 * MS), self._wake_all)

    def _wake_all(self) -> None:
        for host in self.hosts:
            if host.up and host.core.asleep:
                host.core.wake()
                host.finish_turn()

    def _allow_vote(self, host: Host) -> None:
        host.may_vote = True
        self.count("voters_allowed_late")
        if host.up:
            host.core.allow_vote()
            host.finish_turn()

    def elected(self, host: Host) -> None:
        """A host begins to lead."""
        self.count("elections")
        if self.network.has_one_way_cut:
            self.count("elections_during_one_way_cuts")
        if self.transfer_target == host.me:
            self.count("transfers_done")
        self.transfer_target = None
        self.note(host, "leads")

    # --- network

    def send(self, host: Host, packet: Packet) -> None:
        """A packet leaves."""
        message = packet.message
        self.note(host, "says", message)
        self.count("messages")
        times = self.network.arrivals(message.sender, message.to, self.now)
        for place, time in enumerate(times):
            if place:
                self.count("duplicates_received")
            self.after(time - self.now, self._deliver, packet, self.now)
        if not isinstance(message, HeartbeatReply):
            self.awkward(host, 1.0 if type(message).__name__ == "VoteReply" else 0.02)

    def _deliver(self, packet: Packet, sent: int) -> None:
        message = packet.message
        host = self.hosts[message.to - 1]
        if not host.up or sent < host.deaf_until or self.network.is_cut(message.sender, message.to):
            return
        if isinstance(message, TailQuery) and sent < self.hosts[message.sender - 1].since:
            return  # of an earlier life
        self.note(host, "hears", message)
        self._arrive(host, packet)

    def awkward(self, host: Host, weight: float) -> None:
        """A moment at which a host might well die, and in some seeds does."""
        chance = self.mix.crash_on_message
        if chance and self.stormy and self.random.random() < chance * weight:
            delay = 0 if self.random.random() < 0.3 else self.random.randint(0, 30 * MS)
            self.after(delay, self._die, host, host.incarnation)

    def _die(self, host: Host, incarnation: int) -> None:
        if host.incarnation == incarnation and self.stormy:
            self.faults.crash(host)

    # --- disks

    def sync(self, host: Host) -> None:
        """Begin to sync what waits, if the disk is free; or only votes, if it is full."""
        if self.mix.no_room and self.stormy and self.room.random() < self.mix.no_room:
            if host.disk.take_votes():
                delay = int(self.of(host.me, self.sync_us) * self.room.uniform(0.5, 2)) + 1
                self.after(delay, self._votes_synced, host, host.incarnation)
            return
        if host.disk.take_group(whole=self.mix.share_syncs):
            delay = int(self.of(host.me, self.sync_us) * self.random.uniform(0.5, 2)) + 1
            self.after(delay, self._synced, host, host.incarnation)

    def _votes_synced(self, host: Host, incarnation: int) -> None:
        if host.incarnation != incarnation:
            return
        (done,) = host.disk.finish_group()
        self.note(host, "votes synced", done.ticket)
        self.count("votes_written_without_room")
        if host.core.is_leader:
            self.count("leaders_without_room")
        self.sync(host)
        if done.ticket is not None:
            self._arrive(host, WithoutRoom(done.ticket))

    def _synced(self, host: Host, incarnation: int) -> None:
        if host.incarnation != incarnation:
            return
        done = host.disk.finish_group()
        for write in done:
            for packet in write.held:
                self.send(host, packet)
        tickets = [write.ticket for write in done if write.ticket is not None]
        self.note(host, "synced", *tickets)
        self.sync(host)
        if tickets:
            self._arrive(host, tickets[-1])

    # --- use

    def publish(self, to: ReplicaId, publish: Publish) -> None:
        """A producer's request travels."""
        self.after(self.random.randint(100, 5 * MS), self._published, self.hosts[to - 1], publish)

    def _published(self, host: Host, publish: Publish) -> None:
        if host.up:
            self._arrive(host, publish)

    def answer(self, host: Host, publish: Publish, index: Index | None) -> None:
        """A producer's answer; it comes at once."""
        self.producers[publish.command[0] - 1].answered(host, publish, index)

    def _transfer(self) -> None:
        for host in self.hosts:
            if host.up and host.core.is_leader and host.paused_until <= self.now:
                others = [other.me for other in self.hosts if other is not host]
                host.core.transfer(self.random.choice([None, *others]))
                host.finish_turn()
        if self.stormy:
            self.after(int(self.mix.transfer_us_mean * self.random.uniform(0.3, 2)), self._transfer)

    def _ask_barrier(self) -> None:
        for host in self.hosts:
            if host.up and host.core.is_leader and host.paused_until <= self.now:
                host.ask_barrier()
        if self.stormy:
            self.after(int(self.mix.barrier_us_mean * self.random.uniform(0.3, 2)), self._ask_barrier)

    def _raise_floor(self) -> None:
        """A leader finds its tombstones old enough."""
        for host in self.hosts:
            if host.up and host.core.is_leader and host.paused_until <= self.now:
                thinning.raise_floor(host)
        if self.stormy:
            self.after(int(self.mix.floor_us_mean * self.chance.uniform(0.3, 2)), self._raise_floor)

    def _hint(self) -> None:
        """Somebody is told, rightly or wrongly, who is away; in the end, rightly."""
        if not self.stormy:
            return
        host = self.random.choice(self.hosts)
        if host.up and host.paused_until <= self.now:
            others = [other.me for other in self.hosts if other is not host]
            host.core.set_away(frozenset(self.random.sample(others, self.random.randint(0, len(others)))))
            host.finish_turn()
            self.count("hints")
        self.after(int(self.mix.hint_us_mean * self.random.uniform(0.3, 2)), self._hint)

    # --- the end

    def _calm(self) -> None:
        """Everything heals; from here on there must be progress."""
        self.stormy = False
        self.network.heal()
        self.sync_us = (2 * MS,) * len(self.hosts)
        for host in self.hosts:
            host.paused_until = 0
            if host.stopped:
                continue
            if not host.up:
                self.boot(host)
            host.core.set_away(frozenset())
            host.finish_turn()
        self.healed_at = [producer.acknowledged for producer in self.producers]
        self.links_changed()
        if self.mix.change_us_mean:
            self.changes.want(None)
            self.changes.finish()
        self.after(200 * MS, self._look_for_progress)

    def _look_for_progress(self) -> None:
        for producer, healed_at in zip(self.producers, self.healed_at, strict=True):
            if producer.acknowledged - healed_at >= PROGRESS_AFTER_STORM:
                producer.stopped = True
        if all(producer.stopped for producer in self.producers) and ending.is_settled(self):
            ending.compare(self)
            self._heap.clear()
            return
        if self.now > ALL_SECONDS_MAX * SECOND:
            raise Violation(f"liveness: {ending.why_not_settled(self)}")
        self.after(200 * MS, self._look_for_progress)
