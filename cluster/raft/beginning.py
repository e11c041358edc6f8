"""The floor, and beginning anew: what becomes of a follower whose log ends below it.

At or below the leader's floor an entry's content may be incomplete: a tombstone is gone, since nothing older of its key
is left *here*. A follower that never had that tombstone may hold what it deleted, and must not go on without it. So it
throws away all that it has and takes everything from the start of its leader's log: one *beginning*, with a number.

A leader's rules:
1. Nothing at or below the floor is sent but within a beginning for this very floor that the follower has acknowledged.
2. A follower that would need such entries is probed at the floor. Only a follower that rejects a probe at or above the
   floor is known to end below it: what a leader merely does not know is no reason to throw anything away.
3. That one gets the fold at the log's start with the number of its beginning; a repeated fold has the same number. An
   answer of another number says nothing about what the follower has now. A rejection of none, once it has begun, says
   that it was started again meanwhile, and what it holds is of no beginning: rule 2 again. One of a lower number is
   late, however often the follower had to begin: numbers only grow while it runs.
4. A beginning is over when the follower has the floor; it is void when the floor rises or the follower was not heard
   for an election time.
5. Nobody begins anew before the leader has on its own disk all that it began to lead with. And one at a time: a
   follower that still has its log waits while another is without its own (it recovers, or has not yet again what its
   leader had when it began anew) or has not been heard of. Nobody waits for one that was not heard for an election
   time, and one that recovers anyway does not wait for others; so somebody always goes on. Learners neither wait nor
   are waited for: nobody counts on them.

A follower's rules:
6. It does what the leader of its term says: it is *recovering* until it has, on disk, all that its leader had when it
   sent the fold, and all of this term that it held itself. Its commit falls with its log, here and nowhere else. It
   campaigns no more, but it knows what it throws away, and *owes*: it votes as if its log still ended there (as with a
   doubtful end), so that beginning anew takes no vote from the group. (One whose mark cannot be read does not know, and
   does not vote.) Else it recovers only until its log ends no earlier than what it owes (so that it lacks nothing that
   it had said it has), nor than the floor and all that its leader knew to be committed when it sent what lies below: by
   those entries tombstones were dropped, so that it knows as well as its leader did which of them it may be without. If
   it took longer, a leader whose log is damaged meanwhile could leave a group behind in which nobody may lead. How far
   that is (`whole_at`) its mark says before these entries are on disk: a log that reaches so far may be the newest of
   all when the power has failed, and then nobody else may lead.
7. What it had promised and not yet said stays unsaid.
8. A beginning is obeyed once: a lower number is late. Until the floor is reached only appends of its number are taken,
   and a recovering replica takes no append of a beginning that it has not begun (it may have been started again): what
   is sent at different times may lack different things. One that does not recover any more has had all of it, and
   answers for it.
"""

from typing import TYPE_CHECKING

from cluster.messages import AppendEntries, AppendReply, HeartbeatReply, InstallFold
from cluster.raft import configuration, election, tail
from cluster.raft.progress import Beginning, Progress
from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, ReplicaId

if TYPE_CHECKING:
    from cluster.raft.core import Raft


# --- a leader


def current(core: "Raft", progress: Progress) -> Beginning | None:
    """The follower's beginning, if it has one that is not void (rule 4)."""
    beginning = progress.beginning
    if beginning is not None and (beginning.floor != core.floor or core.terms.fold_index >= core.floor):
        progress.forget_beginning()
    return progress.beginning


def may_append(core: "Raft", replica: ReplicaId, progress: Progress) -> bool:
    """Whether an append may leave now (rules 1 and 2); if not, the follower was sent the fold, or waits."""
    if progress.next > core.floor or core.terms.fold_index >= core.floor:
        return True
    beginning = current(core, progress)
    if beginning is not None and beginning.acknowledged:
        return True
    if not progress.below_floor:
        progress.probe_from(Index(core.floor + 1))
        return True
    if beginning is None and _must_wait(core, replica, progress):
        return False
    if beginning is None or beginning.fold_index != core.terms.fold_index:
        core.beginnings += 1
        beginning = progress.beginning = Beginning(core.beginnings, core.floor, core.terms.fold_index)
    progress.lacks_upto = core.last_index
    send_fold(core, replica, progress, number=beginning.number)
    return False


def _must_wait(core: "Raft", replica: ReplicaId, progress: Progress) -> bool:
    """Rule 5."""
    if core.terms.term_at(core.durable_index) != core.term:
        return True
    if progress.lacks_upto or replica not in core.electors:
        return False
    others = (core.progress[elector] for elector in core.electors if elector != replica)
    return any(not other.silent and (other.lacks_upto or not other.known) for other in others)


def send_fold(core: "Raft", replica: ReplicaId, progress: Progress, *, number: int = 0) -> None:
    """The fold at the log's start, to a follower behind it, or to one that begins anew."""
    core.send(
        InstallFold(
            sender=core.me,
            to=replica,
            term=core.term,
            index=core.terms.fold_index,
            last_term=core.terms.fold_term,
            commit=core.commit,
            last_index=core.last_index,
            floor=core.floor if number else Index(0),
            beginning=number,
            membership=core.memberships.of_fold,
        )
    )
    progress.install()


def heeds(core: "Raft", progress: Progress, message: AppendReply | HeartbeatReply) -> bool:
    """Whether the answer speaks of what the follower has now (rule 3)."""
    beginning = current(core, progress)
    if beginning is None:
        return True
    if isinstance(message, HeartbeatReply):
        return beginning.acknowledged and message.beginning == beginning.number
    if message.beginning != beginning.number:
        if message.beginning or not (beginning.acknowledged and message.rejected and message.recovering):
            return False
        progress.forget_beginning()
        progress.recovers = False  # what it had acknowledged since it began may be gone
        return True
    if not beginning.acknowledged:
        if message.rejected or message.match < beginning.fold_index:
            return False
        beginning.acknowledged = True
        progress.start_over(beginning.fold_index)
    return True


def number_of(core: "Raft", progress: Progress) -> int:
    """What an append that begins below the floor has to carry."""
    beginning = current(core, progress)
    return beginning.number if beginning is not None else 0


def is_under_way(core: "Raft") -> bool:
    """Whether a follower is being sent what lies at or below the floor."""
    found = [current(core, progress) for progress in core.progress.values()]
    return any(beginning is not None and beginning.acknowledged for beginning in found)


# --- a follower


def begin(core: "Raft", message: InstallFold) -> bool:
    """Throw everything away for the fold (rules 6 to 8); False if this is late."""
    if message.beginning > core.beginning:
        held = core.last_index if core.last_term == core.term else Index(0)
        if election.knows_newest(core):
            term, index = election.newest(core)
            whole = not core.doubts and tail.uncounted(core) is None
            counted = whole or (core.owes == (index, term) and index < UNCOUNTED)
            tail.owe(core, (index, term), index if counted else UNCOUNTED_ANEW)
        core.recovering = True
        core.recovered_at = max(message.last_index, held)
        core.beginning, core.beginning_floor = message.beginning, message.floor
        core.whole_at = None if core.owes is None else message.floor
        _know_dropped(core, message.commit)
        core.writes.drop_promises()
        replace_log(core, message)
    return message.beginning == core.beginning


def replace_log(core: "Raft", message: InstallFold) -> None:
    """Nothing is left but the fold."""
    core.terms.reset(message.index, message.last_term)
    core.writes.installed(message)
    core.memberships.reset(core.membership if message.membership is None else message.membership)
    configuration.take_effect(core)
    core.matched = core.commit = message.index
    tail.forget(core)


def took(core: "Raft", message: AppendEntries | InstallFold) -> None:
    """What its leader had when that left, and of an append of a beginning what it knew to be committed."""
    if not core.recovering:
        return
    if core.recovered_at is None:
        core.recovered_at = message.last_index
    if message.beginning:
        _know_dropped(core, message.commit)


def _know_dropped(core: "Raft", commit: Index) -> None:
    """By the committed entries tombstones were dropped of what was just sent; by none behind what the leader had then.

    (What raised the floor to that of this beginning it had when that began; a higher floor ends the beginning.)
    """
    if core.whole_at is not None and core.recovered_at is not None:
        core.whole_at = max(core.whole_at, min(commit, core.recovered_at))


def is_foreign(core: "Raft", message: AppendEntries) -> bool:
    """Whether an append of this term is of another beginning than what is here (rule 8)."""
    if message.beginning == core.beginning:
        return False
    if message.beginning:
        return core.recovering
    return core.matched < core.beginning_floor and message.prev_index < core.beginning_floor
