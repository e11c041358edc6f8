"""Transcripts: a script of commands to a group of cores, each with everything that the group did in answer.

A line is a command; the indented lines below it are what it led to, in order:

    group 1: 1 1 2 / 2: 1 1 / 3: 1 [term 2] [no-pre-vote] [appends 1] [inflight 2] [bytes 100]
                    cores 1 … 3, with logs of these terms on their disks, all in term 2 (default: the log's last)
    spare 4         a blank core more, which belongs to nobody
    change 1 voters 1 2 4 [learners 5]
                    replica 1 is to lead the group to these: what it appends is a joint membership if voters change
    campaign 1      replica 1's election time is over
    tick 1 [5]      time passes for one, or for `all`
    propose 1 [2]   entries at the leader
    transfer 1 3    leadership is handed over
    barrier 1       a read barrier is asked for
    floor 1 5       replica 1's driver has dropped content up to entry 5
    down 3          replica 3 is dead: what is sent to it is lost, and so is what it has not written
    restart 3       replica 3 starts again from what is on its disk; `damaged 2`: all behind entry 2 is lost
    write 1         what waits for replica 1's disk is on it
    deliver [1>3]   what is under way arrives (on one link, or everywhere), once; what it leads to is under way again
    drop [1>3]      it is lost
    settle          write and deliver until nothing moves; not shown
    state           where everybody is
    members         the membership that each has in effect, `?` behind it while it is not known to be committed

`send 1>2 …` is a message that left, `want 1 …` what waits for a disk, `lead`, `commit` and so on what a core says.
Behind an entry that is a membership stands what it says: {1 2 4 after 1 2 3, 5 learns}.
"""

from collections.abc import Iterator

from cluster.config import RaftOptions
from cluster.membership import BLANK
from cluster.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from cluster.raft import LogState, Member, Membership, Raft, Ready, Vote
from cluster.types import Index, NodeId, ReplicaId, Term, Ticket

ELECTION_TICKS = 10


class Script:
    """One transcript's group."""

    def __init__(self) -> None:
        self.cores: dict[int, Raft] = {}
        self.mail: list[RaftMessage] = []
        self.tickets: dict[int, list[Ticket]] = {}
        self.asked: dict[int, bool] = {}
        """Who was made to begin anew, and so remembers that it recovers."""
        self.said: list[str] = []
        self.dead: set[int] = set()

    def run(self, line: str) -> list[str]:
        """What the command led to."""
        self.said = []
        name, *words = line.split()
        getattr(self, f"do_{name}")(*words)
        for number in self.alive:
            self._take(number)
        return self.said

    @property
    def alive(self) -> list[int]:
        """Who is not dead."""
        return [number for number in self.cores if number not in self.dead]

    # --- commands

    def do_group(self, *words: str) -> None:
        """See the module."""
        text, *options = " ".join(words).replace("]", "").split("[")
        settings = {name: value for name, _, value in (option.strip().partition(" ") for option in options)}
        logs = {
            int(number): [int(term) for term in terms.split()]
            for number, _, terms in (part.partition(":") for part in text.split("/"))
        }
        members = Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in logs))
        raft = RaftOptions(
            election_ticks_min=ELECTION_TICKS,
            election_ticks_max=2 * ELECTION_TICKS,
            heartbeat_ticks=2,
            idle_ticks_before_sleep=0,
            pre_vote="no-pre-vote" not in settings,
            entries_per_append_max=int(settings.get("appends", 64)),
            inflight_appends_max=int(settings.get("inflight", 64)),
            bytes_per_append_max=int(settings.get("bytes", 1 << 20)),
        )
        for number, terms in logs.items():
            term = Term(int(settings.get("term", terms[-1] if terms else 0)))
            self._add(number, members, raft, terms, term)

    def _add(self, number: int, members: Membership, raft: RaftOptions, terms: list[int], term: Term) -> None:
        self.cores[number] = Raft(
            me=ReplicaId(number),
            membership=members,
            vote=Vote(term=term, voted_for=None),
            log=LogState(term_starts=_runs(terms), last_index=Index(len(terms))),
            options=raft,
            draw_election_ticks=lambda: ELECTION_TICKS,
        )
        self.tickets[number], self.asked[number] = [], False

    def do_spare(self, number: str) -> None:
        """See the module."""
        self._add(int(number), BLANK, next(iter(self.cores.values())).options, [], Term(0))

    def do_change(self, number: str, *words: str) -> None:
        """See the module."""
        core = self.cores[int(number)]
        groups: dict[str, list[Member]] = {"voters": [], "learners": []}
        for word in words:
            if word in groups:
                group = groups[word]
            else:
                group.append(Member(replica=ReplicaId(int(word)), node=NodeId(int(word))))
        voters, learners, old = tuple(groups["voters"]), tuple(groups["learners"]), core.membership.voters
        outgoing = () if set(voters) == set(old) else old
        if core.propose_membership(Membership(voters=voters, learners=learners, outgoing=outgoing), 20) is None:
            self.said.append(f"refused {number}")

    def do_campaign(self, number: str) -> None:
        """See the module."""
        self.cores[int(number)].campaign()

    def do_tick(self, who: str, times: str = "1") -> None:
        """See the module."""
        for _ in range(int(times)):
            for number in self.alive if who == "all" else [int(who)]:
                self.cores[number].tick()
                self._take(number)

    def do_propose(self, number: str, count: str = "1") -> None:
        """See the module."""
        for _ in range(int(count)):
            if self.cores[int(number)].propose(50) is None:
                self.said.append(f"refused {number}")

    def do_transfer(self, number: str, to: str) -> None:
        """See the module."""
        self.cores[int(number)].transfer(ReplicaId(int(to)))

    def do_barrier(self, number: str) -> None:
        """See the module."""
        self.said.append(f"barrier {self.cores[int(number)].read_barrier()}")

    def do_floor(self, number: str, index: str) -> None:
        """See the module."""
        self.cores[int(number)].floor = Index(int(index))

    def do_down(self, number: str) -> None:
        """See the module."""
        self.dead.add(int(number))
        self.mail = [message for message in self.mail if message.to not in self.dead]

    def do_restart(self, number: str, *damaged: str) -> None:
        """See the module."""
        old = self.cores[int(number)]
        last = min(old.durable_index, Index(int(damaged[1]) if damaged else old.durable_index))
        terms = [old.terms.term_at(Index(index)) or Term(0) for index in range(1, last + 1)]
        memberships = [(Index(index), old.memberships.at(Index(index))) for index in range(1, last + 1)]
        self.dead.discard(int(number))
        self.cores[int(number)] = Raft(
            me=old.me,
            membership=old.memberships.of_fold,
            vote=old.writes.durable_vote,
            log=LogState(
                term_starts=_runs([int(term) for term in terms]),
                last_index=last,
                memberships=tuple((index, said) for index, said in memberships if said is not None),
            ),
            options=old.options,
            draw_election_ticks=old.draw_election_ticks,
            recovering=bool(damaged) or (self.asked[int(number)] and old.recovering),
        )
        self.tickets[int(number)] = []

    def do_write(self, number: str) -> None:
        """See the module."""
        tickets, self.tickets[int(number)] = self.tickets[int(number)], []
        for ticket in tickets:
            self.cores[int(number)].persisted(ticket)
        self._take(int(number))

    def do_deliver(self, link: str = "") -> None:
        """See the module."""
        for message in self._take_mail(link):
            self.cores[message.to].step(message)
            self._take(message.to)

    def do_drop(self, link: str = "") -> None:
        """See the module."""
        for message in self._take_mail(link):
            self.said.append(f"lost {_told(message)}")

    def do_settle(self) -> None:
        """See the module."""
        for _ in range(500):
            for number in self.alive:
                self._take(number)
                self.do_write(str(number))
            if not self.mail:
                break
            self.do_deliver()
        self.said = []

    def do_state(self) -> None:
        """See the module."""
        for number, core in self.cores.items():
            terms = " ".join(str(core.terms.term_at(Index(index))) for index in range(1, core.last_index + 1))
            self.said.append(
                f"{number} {core.role.value} term {core.term} of {core.leader or '-'}, "
                f"commit {core.commit}, durable {core.durable_index}, log {terms or '-'}"
                f"{', recovering' if core.recovering else ''}{', catching up' if core.catching_up else ''}"
            )

    def do_members(self) -> None:
        """See the module."""
        for number, core in self.cores.items():
            doubt = "" if core.membership_is_committed else " ?"
            self.said.append(f"{number} {_members(core.membership)}{doubt}")

    # --- what they lead to

    def _take_mail(self, link: str) -> list[RaftMessage]:
        taken = [message for message in self.mail if link in {"", f"{message.sender}>{message.to}"}]
        self.mail = [message for message in self.mail if message not in taken]
        return taken

    def _take(self, number: int) -> None:
        core = self.cores[number]
        while (ready := core.ready()) is not None:
            core.validate()
            self.said += [line for line in self._said(number, ready) if line]
            for message in (*ready.messages, *ready.promises):
                self.said.append(f"send {_told(message)}")
                if message.to not in self.dead:
                    self.mail.append(message)
            if ready.ticket is not None:
                self.tickets[number].append(ready.ticket)
                self.asked[number] |= ready.fold is not None and ready.fold.beginning > 0

    @staticmethod
    def _said(number: int, ready: Ready) -> Iterator[str]:
        if ready.role is not None:
            yield f"{number} is {ready.role.value} in term {ready.term}, leader {ready.leader or '-'}"
        if ready.vote is not None:
            yield f"want {number} vote {ready.vote.voted_for or '-'} in term {ready.vote.term}"
        if ready.truncate_from is not None:
            yield f"want {number} truncated from {ready.truncate_from}"
        if ready.fold is not None:
            yield f"want {number} fold {ready.fold.index}/{ready.fold.last_term}"
        if ready.entries:
            yield f"want {number} entries {_entries(ready.entries)}"
        if ready.commit is not None:
            yield f"{number} commits {ready.commit}"
        if ready.barriers:
            yield f"{number} confirms barrier {' '.join(map(str, ready.barriers))}"
        if ready.failed_barriers:
            yield f"{number} fails barrier {' '.join(map(str, ready.failed_barriers))}"


def _runs(terms: list[int]) -> tuple[tuple[Index, Term], ...]:
    return tuple(
        (Index(place + 1), Term(term)) for place, term in enumerate(terms) if place == 0 or terms[place - 1] != term
    )


def _entries(entries: object) -> str:
    return " ".join(
        f"{entry.index}/{entry.term}" + (_members(entry.membership) if entry.membership is not None else "")
        for entry in entries  # type: ignore[attr-defined]
    )


def _members(membership: Membership) -> str:
    """In braces: voters, and who else there is."""
    voters, outgoing, learners = (
        " ".join(str(member.replica) for member in group)
        for group in (membership.voters, membership.outgoing, membership.learners)
    )
    text = voters + (f" after {outgoing}" if outgoing else "") + (f", {learners} learns" if learners else "")
    return "{" + text + "}"


def _told(message: RaftMessage) -> str:
    """A message in a line: index/term pairs, as the paper counts."""
    head = f"{message.sender}>{message.to} {type(message).__name__} term {message.term}"
    number = getattr(message, "beginning", 0)
    tail = "".join(f" {name}" for name in ("recovering", "blank") if getattr(message, name, False))
    tail += f" beginning {number}" if number else ""
    match message:
        case RequestVote():
            kind = "pre " if message.pre else "by transfer " if message.transfer else ""
            return f"{head} {kind}last {message.last_index}/{message.last_term}"
        case VoteReply():
            return f"{head} {'pre ' if message.pre else ''}{'granted' if message.granted else 'refused'}"
        case AppendEntries():
            content = f"entries {_entries(message.entries)} " if message.entries else ""
            return f"{head} after {message.prev_index}/{message.prev_term} {content}commit {message.commit}{tail}"
        case AppendReply():
            rejected = f" rejected {message.rejected_prev}, try {message.hint_index}/{message.hint_term}"
            return head + (rejected if message.rejected else f" match {message.match}") + tail
        case Heartbeat():
            return f"{head} commit {message.commit} barrier {message.barrier}"
        case HeartbeatReply():
            return f"{head} match {message.match} barrier {message.barrier}{tail}"
        case InstallFold():
            floor = f" floor {message.floor}" if number else ""
            return f"{head} fold {message.index}/{message.last_term}{floor}{tail}"
        case TimeoutNow():
            return head
        case _:
            return f"{head} {message}"
