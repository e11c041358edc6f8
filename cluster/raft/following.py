"""A follower's side of §5.3 and §7: accept what follows, cut only at a real conflict, acknowledge what is on disk.

Rules:
1. Entries that are here already, at their terms, are passed over: a late or repeated append never shortens the log.
2. A conflict cuts at the first entry that differs, never at or below the commit.
3. An acknowledgement is a promise: it leaves when everything it names is on disk, and none does before this log is
   recorded to exist (`may_vote`): a disk that is wiped before that is taken for a new one, which has promised nothing.
4. What lies at or below the fold is committed, and so equal in every leader's log.
5. Whoever begins anew throws all of it away (`beginning`); whoever is blank takes a fold, and nothing before it.
"""

from typing import TYPE_CHECKING

from cluster.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    RequestVote,
)
from cluster.messages import VoteReply as Refusal
from cluster.raft import beginning, election, tail
from cluster.raft.ready import Role
from cluster.types import UNCOUNTED, Index

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def answer_stale(core: "Raft", message: RaftMessage) -> None:
    """Tell a sender of an older term that it is behind, where it must know: a deposed leader, a candidate.

    It may lead this term by now, and take it for an answer: so all that it says is true.
    """
    if isinstance(message, AppendEntries | Heartbeat | InstallFold):
        core.send(
            AppendReply(
                sender=core.me,
                to=message.sender,
                term=core.term,
                match=Index(0),
                rejected=True,
                hint_index=core.last_index,
                hint_term=core.last_term,
                recovering=core.recovering or bool(core.doubts),
                beginning=core.beginning,
                blank=core.is_blank,
            )
        )
    elif isinstance(message, RequestVote):
        core.send(Refusal(sender=core.me, to=message.sender, term=core.term, granted=False))


def _follow(core: "Raft", message: RaftMessage) -> None:
    """The sender leads this term."""
    assert core.role is not Role.LEADER, f"two leaders in term {core.term}: {core.me} and {message.sender}"
    if core.role is not Role.FOLLOWER or core.leader != message.sender:
        core.become_follower(core.term, message.sender)
    core.elapsed = 0
    core.needed = False


def append_entries(core: "Raft", message: AppendEntries) -> None:
    """§5.3."""
    _follow(core, message)
    if core.is_blank or beginning.is_foreign(core, message):
        _reject(core, message)
        return
    core.beginning = max(core.beginning, message.beginning)  # it had all of it before it was started again
    prev, prev_term, entries = message.prev_index, message.prev_term, message.entries
    fold = core.terms.fold_index
    if prev < fold:
        entries = tuple(entry for entry in entries if entry.index > fold)
        prev, prev_term = fold, core.terms.fold_term
        if not entries:
            _acknowledge(core, message, min(fold, Index(message.prev_index + len(message.entries))))
            return
        if entries[0].index != fold + 1:
            return
    if core.terms.term_at(prev) != prev_term:
        _reject(core, message)
        return
    promised = election.newest(core) if core.doubts else None
    for place, entry in enumerate(entries):
        known = core.terms.term_at(entry.index)
        if known == entry.term:
            continue
        if known is not None:
            core.truncate_from(entry.index)
        for new in entries[place:]:
            core.append(new)
        break
    last_new = Index(prev + len(entries))
    core.matched = max(core.matched, last_new)
    core.commit = max(core.commit, min(message.commit, last_new))
    if promised is not None and core.doubts and core.last_index >= core.doubts[0][0]:
        tail.replaced(core, promised)
    beginning.took(core, message)
    note_durable(core)
    _acknowledge(core, message, last_new)


def _acknowledge(core: "Raft", message: RaftMessage, match: Index) -> None:
    if not core.may_acknowledge:
        return  # heartbeats will ask
    core.writes.promise(
        AppendReply(
            sender=core.me,
            to=message.sender,
            term=core.term,
            match=match,
            recovering=core.recovering,
            beginning=core.beginning,
        )
    )


def _reject(core: "Raft", message: AppendEntries) -> None:
    """Name the last entry that could match: whole terms are skipped at once (§5.3, end)."""
    hint = core.terms.last_with_term_at_most(message.prev_index, message.prev_term)
    if hint == message.prev_index:
        hint = Index(max(hint - 1, core.terms.fold_index))
    core.send(
        AppendReply(
            sender=core.me,
            to=message.sender,
            term=core.term,
            match=Index(0),
            rejected=True,
            rejected_prev=message.prev_index,
            hint_index=hint,
            hint_term=core.terms.term_at(hint) or core.terms.fold_term,
            recovering=core.recovering or bool(core.doubts),
            beginning=core.beginning,
            blank=core.is_blank,
            search=message.search,
        )
    )


def heartbeat(core: "Raft", message: Heartbeat) -> None:
    """The leader is there; its commit is at most what it knows to be here."""
    _follow(core, message)
    core.commit = max(core.commit, min(message.commit, core.matched))
    rests = message.sleep and core.matched == core.last_index == core.commit == core.durable_index
    core.asleep = rests
    core.send(
        HeartbeatReply(
            sender=core.me,
            to=message.sender,
            term=core.term,
            barrier=message.barrier if rests or not message.sleep else 0,
            match=min(core.matched, core.durable_index) if core.may_acknowledge else Index(0),
            beginning=core.beginning,
        )
    )


def install_fold(core: "Raft", message: InstallFold) -> None:
    """§7: the fold takes the place of everything up to its index; what is here already is not regressed.

    But when it has to begin anew: then it takes the place of everything.
    """
    _follow(core, message)
    if message.beginning:
        if beginning.begin(core, message):
            _acknowledge(core, message, message.index)
        return
    here = message.index <= core.commit or core.terms.term_at(message.index) == message.last_term
    if here and not core.is_blank:
        core.matched = max(core.matched, min(message.index, core.last_index))
        core.commit = max(core.commit, min(message.index, core.last_index))
        _acknowledge(core, message, message.index)
        return
    if core.doubts and message.index > core.last_index:  # else all that was in doubt goes, as with a truncation
        tail.replaced(core, election.newest(core))
    beginning.replace_log(core, message)
    beginning.took(core, message)
    _acknowledge(core, message, message.index)


def note_durable(core: "Raft") -> None:
    """A damaged replica is whole again when it has, on disk, all that its leader had when it took it in.

    One that only begins anew is so as soon as it has what its leader kept (`beginning`), and one whose log ended early
    when it has what that may have been (`tail`). Where it knows what it owes, it has to have that, too: what its
    leader had may be of before the restart, if it came late.
    """
    if not core.recovering:
        return
    here, owes = min(core.matched, core.durable_index), tail.uncounted(core) or core.owes
    taken_in = core.recovered_at is not None and here >= core.recovered_at
    has_all = owes is None or (core.terms.term_at(here) or core.terms.fold_term, here) >= (owes[1], owes[0])
    if taken_in and owes is not None and owes[0] >= UNCOUNTED and owes[1] == core.term:
        has_all = True  # nobody has more of its term than its leader
    if tail.is_whole(core, here) or (has_all and taken_in):
        core.recovering = False
        core.owes = core.owes_at_most = core.whole_at = None
