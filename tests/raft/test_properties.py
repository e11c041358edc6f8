"""Figure 3 of the Raft paper under a driver with bad intentions: hypothesis chooses every single step.

Which message arrives, is lost, is repeated or waits; when a clock ticks, a disk syncs, a host dies and comes back. The
oracle is slow and simple on purpose: it keeps whole logs as lists and compares all of them with all others each time.
It shares no code with the swarm in `tests/raft/sim`, which goes much further and much faster.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cluster.config import RaftOptions
from cluster.messages import AppendEntries, RaftMessage
from cluster.raft import LogState, Member, Membership, Raft, Ready, Vote
from cluster.types import Index, NodeId, ReplicaId, Term, Ticket

Entry = tuple[int, str]
"""A term and a content; the whole of a log is a list of them, the first one at index 1."""


@dataclass
class Host:
    """A core, its log in memory, what is durable, and the writes between them."""

    core: Raft
    log: list[Entry] = field(default_factory=list)
    vote: Vote = Vote(term=Term(0), voted_for=None)
    durable: list[Entry] = field(default_factory=list)
    writes: list[tuple[Ticket, Vote | None, list[Entry]]] = field(default_factory=list)
    """Ticket, vote, and the whole log as it is after the write."""


@dataclass
class Letter:
    """A message on its way, with the content of its entries."""

    message: RaftMessage
    contents: tuple[str, ...]


class Group(RuleBasedStateMachine):
    """Three or five hosts, a heap of letters, and everything that anyone ever committed."""

    core_class: type[Raft] = Raft

    def __init__(self, *, count: int = 3, options: RaftOptions | None = None) -> None:
        super().__init__()
        self.options = options or RaftOptions(
            election_ticks_min=2,
            election_ticks_max=4,
            heartbeat_ticks=1,
            pre_vote=False,
            check_quorum=False,
            entries_per_append_max=2,
            idle_ticks_before_sleep=0,
        )
        self.membership = Membership(
            voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in range(1, count + 1))
        )
        self.hosts = {n: Host(core=self._core(n, Vote(term=Term(0), voted_for=None), [])) for n in range(1, count + 1)}
        self.letters: list[Letter] = []
        self.number = 0
        # the oracle's memory
        self.leaders: dict[int, int] = {}
        self.leaders_logs: dict[int, list[Entry]] = {}
        self.committed: list[Entry] = []
        self.committed_in: list[int] = []

    def _core(self, number: int, vote: Vote, log: list[Entry]) -> Raft:
        starts = [
            (Index(place + 1), Term(term))
            for place, (term, _) in enumerate(log)
            if place == 0 or log[place - 1][0] != term
        ]
        return self.core_class(
            me=ReplicaId(number),
            membership=self.membership,
            vote=vote,
            log=LogState(term_starts=tuple(starts), last_index=Index(len(log))),
            options=self.options,
            draw_election_ticks=lambda: self.options.election_ticks_min + number,
        )

    def _host(self, choice: int) -> tuple[int, Host]:
        number = choice % len(self.hosts) + 1
        return number, self.hosts[number]

    # --- the driver

    def _carry_out(self, host: Host, contents: dict[tuple[int, int], str]) -> None:
        while (ready := host.core.ready()) is not None:
            self._write(host, ready, contents)
            for message in (*ready.messages, *ready.promises):
                self.letters.append(Letter(message, self._contents(host, message)))

    def _write(self, host: Host, ready: Ready, contents: dict[tuple[int, int], str]) -> None:
        if ready.truncate_from is not None:
            assert not host.core.is_leader, "leader append-only: a leader drops entries"
            del host.log[ready.truncate_from - 1 :]
        for entry in ready.entries:
            assert entry.index == len(host.log) + 1
            host.log.append((entry.term, contents.get((entry.index, entry.term), "no-op")))
        if ready.ticket is not None:
            host.writes.append((ready.ticket, ready.vote, host.log.copy()))

    def _contents(self, host: Host, message: RaftMessage) -> tuple[str, ...]:
        if not isinstance(message, AppendEntries):
            return ()
        return tuple(host.log[entry.index - 1][1] for entry in message.entries)

    # --- what may happen

    @rule(choice=st.integers(0, 4))
    def tick(self, choice: int) -> None:
        """A clock."""
        _, host = self._host(choice)
        host.core.tick()
        self._carry_out(host, {})

    @rule(choice=st.integers(0, 4))
    def time_out(self, choice: int) -> None:
        """A clock that was the fastest."""
        _, host = self._host(choice)
        host.core.campaign()
        self._carry_out(host, {})

    @precondition(lambda self: self.letters)
    @rule(place=st.integers(0, 1 << 30), keep=st.booleans())
    def deliver(self, place: int, keep: bool) -> None:  # noqa: FBT001  hypothesis names its arguments
        """Any letter, in any order, perhaps once more later."""
        at = place % len(self.letters)
        letter = self.letters[at] if keep else self.letters.pop(at)
        message = letter.message
        host = self.hosts[message.to]
        contents = {}
        if isinstance(message, AppendEntries):
            contents = {
                (entry.index, entry.term): content
                for entry, content in zip(message.entries, letter.contents, strict=True)
            }
        host.core.step(message)
        self._carry_out(host, contents)

    @precondition(lambda self: self.letters)
    @rule(count=st.integers(1, 20))
    def deliver_oldest(self, count: int) -> None:
        """The network as it is on a good day."""
        for _ in range(min(count, len(self.letters))):
            self.deliver(place=0, keep=False)

    @precondition(lambda self: len(self.letters) > 4)
    @rule(place=st.integers(0, 1 << 30))
    def lose(self, place: int) -> None:
        """Any letter."""
        del self.letters[place % len(self.letters)]

    @rule(choice=st.integers(0, 4), count=st.integers(1, 5))
    def sync(self, choice: int, count: int) -> None:
        """A disk finishes some writes, in order."""
        _, host = self._host(choice)
        for ticket, vote, log in host.writes[:count]:
            host.vote = vote or host.vote
            host.durable = log
            host.core.persisted(ticket)
        del host.writes[:count]
        self._carry_out(host, {})

    @rule()
    def sync_all(self) -> None:
        """All disks are quick."""
        for number in self.hosts:
            self.sync(choice=number - 1, count=100)

    @rule(choice=st.integers(0, 4), count=st.integers(1, 3))
    def propose(self, choice: int, count: int) -> None:
        """Something new for whoever believes to lead."""
        _, host = self._host(choice)
        contents = {}
        for _ in range(count):
            header = host.core.propose(1)
            if header is None:
                return
            self.number += 1
            contents[header.index, header.term] = f"command {self.number}"
        self._carry_out(host, contents)

    @rule(choice=st.integers(0, 4), kept=st.integers(0, 3))
    def crash(self, choice: int, kept: int) -> None:
        """What was not synced is gone, but for the first few writes, which may have made it."""
        number, host = self._host(choice)
        for _, vote, log in host.writes[:kept]:
            host.vote = vote or host.vote
            host.durable = log
        core = self._core(number, host.vote, host.durable)
        self.hosts[number] = Host(core=core, log=host.durable.copy(), vote=host.vote, durable=host.durable)

    # --- the oracle

    @invariant()
    def figure_3(self) -> None:
        """All five properties, over all hosts, and the commit on a majority's disks."""
        for number, host in self.hosts.items():
            host.core.validate()
            assert len(host.log) == host.core.last_index
            if host.core.is_leader:
                self._leads(number, host)
            self._commits(number, host)
        logs = [host.log for host in self.hosts.values()] + [host.durable for host in self.hosts.values()]
        for one in logs:
            for other in logs:
                self._match(one, other)

    def _leads(self, number: int, host: Host) -> None:
        term = host.core.term
        assert self.leaders.setdefault(term, number) == number, f"election safety: term {term}"
        before = self.leaders_logs.setdefault(term, host.log.copy())
        assert host.log[: len(before)] == before, f"leader append-only: term {term}"
        self.leaders_logs[term] = host.log.copy()
        for place, entry in enumerate(self.committed):
            if self.committed_in[place] < term:
                assert host.log[place : place + 1] == [entry], f"leader completeness: term {term}, index {place + 1}"

    def _commits(self, number: int, host: Host) -> None:
        commit = host.core.commit
        assert commit <= len(host.log), f"commit of {number}"
        for place in range(min(commit, len(self.committed))):
            assert host.log[place] == self.committed[place], f"state-machine safety: index {place + 1}"
        if commit > len(self.committed):
            copies = sum(other.durable[:commit] == host.log[:commit] for other in self.hosts.values())
            assert copies > len(self.hosts) // 2, f"commit {commit} with {copies} durable copies"
            self.committed_in += [host.core.term] * (commit - len(self.committed))
            self.committed = host.log[:commit]

    @staticmethod
    def _match(one: list[Entry], other: list[Entry]) -> None:
        """Log matching: from the last index where terms agree, everything before is equal."""
        for place in range(min(len(one), len(other)) - 1, -1, -1):
            if one[place][0] == other[place][0]:
                assert one[: place + 1] == other[: place + 1], f"log matching: index {place + 1}"
                return

    def teardown(self) -> None:
        """Everything arrives and is synced: somebody leads, and all logs become equal."""
        self.letters.clear()
        for number in self.hosts:
            self.crash(choice=number - 1, kept=0)
        for _ in range(40):
            for number in self.hosts:
                self.tick(choice=number - 1)
            for _ in range(6):
                self.sync_all()
                self.deliver_oldest(count=1000)
                self.figure_3()
        assert any(host.core.is_leader for host in self.hosts.values()), "progress: nobody leads"
        assert {len(self.committed)} == {len(host.log) for host in self.hosts.values()}


class CarefulGroup(Group):
    """Five hosts with pre-votes and check-quorum."""

    def __init__(self) -> None:
        super().__init__(
            count=5,
            options=RaftOptions(
                election_ticks_min=4, election_ticks_max=8, heartbeat_ticks=1, idle_ticks_before_sleep=3
            ),
        )


CHOSEN_STEPS = settings(
    max_examples=60,
    stateful_step_count=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

TestGroup = pytest.mark.slow(Group.TestCase)
TestGroup.settings = CHOSEN_STEPS
TestCarefulGroup = pytest.mark.slow(CarefulGroup.TestCase)
TestCarefulGroup.settings = settings(CHOSEN_STEPS, max_examples=30)
