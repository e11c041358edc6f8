"""A leader: §5.3, §5.4.2, §8; pipelining and flow control; check-quorum; transfer (thesis §3.10); read barriers (§6.4).

Rules:
1. Only entries of the own term are committed by counting (§5.4.2); the own copy counts as far as it is on disk.
2. A follower is probed until the logs are known to agree, then sent ahead within its window; behind the log's start it
   gets the fold, and below the floor it begins anew (`beginning`).
3. A leader that a majority did not answer for an election time steps down.
4. A barrier is confirmed by a majority's answers to heartbeats that left after it was asked for, once an entry of the
   own term is committed.
5. An idle group goes to sleep (`sleep`).
6. Learners are sent the same, within the bytes that the driver allows (`catch_up_bytes`): nobody counts on them.
"""

from typing import TYPE_CHECKING

from cluster.messages import AppendEntries, AppendReply, Heartbeat, HeartbeatReply, TimeoutNow
from cluster.raft import beginning, configuration, sleep
from cluster.raft.progress import Progress, State
from cluster.raft.quorum import majority
from cluster.raft.ready import Role
from cluster.types import Index, ReplicaId

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def become_leader(core: "Raft") -> None:
    """Lead, and begin with an entry of the own term (§8)."""
    core.role, core.leader = Role.LEADER, core.me
    core.elapsed = core.idle_ticks = core.sleep_round = 0
    core.heartbeat_elapsed = 0
    core.beginnings = 0
    core.leaving = False
    core.progress = {replica: Progress(Index(core.last_index + 1)) for replica in core.others}
    core.append_own(0)
    broadcast_heartbeat(core)


def tick(core: "Raft") -> None:
    """Heartbeats, the check of the quorum, the end of a transfer that did not come, and the group's idleness."""
    core.heartbeat_elapsed += 1
    core.idle_ticks += 1
    for progress in core.progress.values():
        if progress.has_inflight or progress.probe_sent or progress.state is State.INSTALL:
            progress.quiet_ticks += 1
    if core.elapsed >= core.options.election_ticks_max:
        core.elapsed = 0
        core.transferee = None
        heard = {core.me, *(replica for replica, progress in core.progress.items() if progress.heard)}
        if core.options.check_quorum and not core.quorum.has(heard):
            core.become_follower(core.term, None)
            return
        for progress in core.progress.values():
            progress.check()
    if core.heartbeat_elapsed >= core.options.heartbeat_ticks:
        core.heartbeat_elapsed = 0
        broadcast_heartbeat(core)


def broadcast_heartbeat(core: "Raft") -> None:
    """To all followers; an idle group's invites them to sleep."""
    rest = sleep.may_sleep(core)
    core.sleep_round = 0  # what is answered from now on may be an answer to this one
    if rest:
        core.barrier_round += 1
        core.sleep_round = core.barrier_round
        if not core.others:
            core.asleep = True
    for replica, progress in core.progress.items():
        core.send(
            Heartbeat(
                sender=core.me,
                to=replica,
                term=core.term,
                commit=min(core.commit, progress.match),
                barrier=core.barrier_round,
                sleep=rest and progress.match == core.last_index,
            )
        )
        progress.told_commit = min(core.commit, progress.match)


def heartbeat_reply(core: "Raft", message: HeartbeatReply) -> None:
    """The follower is there; what it has, and which barrier it confirms."""
    progress = core.progress.get(message.sender)
    if progress is None:
        return
    progress.hear()
    progress.barrier = max(progress.barrier, message.barrier)
    confirm_barriers(core)
    match = message.match if beginning.heeds(core, progress, message) else progress.match
    if match > progress.match:
        _advanced(core, message.sender, progress, match)
    elif progress.state is State.PROBE:
        if progress.quiet_ticks >= core.options.heartbeat_ticks:
            progress.probe_sent = False  # it would have been answered
    elif match < progress.match and not progress.has_inflight:
        progress.probe_from(Index(progress.match + 1))  # it began anew: it has to hear again that its log is ours
    elif progress.quiet_ticks > core.options.election_ticks_min:
        progress.quiet_ticks = 0
        progress.probe_from(Index(progress.match + 1))  # something that was sent did not arrive
    if core.sleep_round and all(p.barrier >= core.sleep_round for p in sleep.present(core)):
        core.asleep = sleep.may_sleep(core)
        core.sleep_round = 0


def append_reply(core: "Raft", message: AppendReply) -> None:
    """§5.3: on, or back to where the logs part."""
    progress = core.progress.get(message.sender)
    if progress is None:
        return
    progress.hear()
    if message.rejected and message.search != progress.search:
        return
    if not beginning.heeds(core, progress, message):
        return
    lost = progress.told(core.last_index, recovering=message.recovering)
    progress.blank = message.blank
    if message.rejected:
        _rejected(core, progress, message)
        return
    if lost and message.match < progress.match and progress.beginning is None:
        progress.start_over(message.match)
        return
    if message.match > core.last_index:
        return
    if not _advanced(core, message.sender, progress, message.match) and progress.state is not State.REPLICATE:
        _settled(core, progress, message.match)


def _rejected(core: "Raft", progress: Progress, message: AppendReply) -> None:
    if message.recovering:
        progress.match = min(progress.match, message.hint_index)
    elif message.rejected_prev <= progress.match:
        if progress.state is not State.PROBE or message.rejected_prev != progress.next - 1:
            return  # an answer to something older than what it has acknowledged since
        progress.match = min(progress.match, message.hint_index)  # its disk has lost what it said was on it
    if progress.state is State.PROBE and message.rejected_prev != progress.next - 1:
        return
    meeting = core.terms.last_with_term_at_most(message.hint_index, message.hint_term)
    if (
        progress.state is State.PROBE
        and meeting < core.floor
        and (message.blank or core.floor <= message.rejected_prev)
    ):
        progress.below_floor = True
    progress.probe_from(Index(meeting + 1))
    if meeting < core.terms.fold_index or (
        meeting == core.terms.fold_index and message.hint_index < core.terms.fold_index
    ):
        progress.next = max(Index(progress.match + 1), min(core.terms.fold_index, Index(message.hint_index + 1)))


def _advanced(core: "Raft", replica: ReplicaId, progress: Progress, match: Index) -> bool:
    news = progress.acknowledged(match)
    if progress.match >= core.floor:
        progress.forget_beginning()
    if news:
        _settled(core, progress, match)
        advance_commit(core)
        if core.transferee == replica:
            _hand_over(core)
    return news


def _settled(core: "Raft", progress: Progress, match: Index) -> None:
    """The logs are known to agree up to `match`: send ahead."""
    if progress.state is State.PROBE or (progress.state is State.INSTALL and match >= core.terms.fold_index):
        progress.replicate()


def synced_count(core: "Raft", index: Index) -> int:
    """See `Raft.synced_count`. A new leader has not heard of the others' disks; a commit says of them what it takes."""
    voters = counted(core)
    known = sum(core.match(replica) >= index for replica in voters)
    return max(known, majority(len(voters))) if index <= core.commit else known


def counted(core: "Raft") -> tuple[ReplicaId, ...]:
    """Voters of whom a majority is known to have what is committed: new ones may still lack what was before them."""
    if core.membership.joint and not core.membership_is_committed:
        return tuple(member.replica for member in core.membership.outgoing)
    return core.voters


def advance_commit(core: "Raft") -> None:
    """§5.4.2: by counting, in the own term only. A learner that leads counts nothing: no voter in doubt asks it."""
    if configuration.is_learner(core):
        return
    index = core.quorum.reached(core.match)
    if index > core.commit and core.terms.term_at(index) == core.term:
        core.commit = index
        confirm_barriers(core)


def replicate_all(core: "Raft") -> None:
    """Everything that each follower's window allows, and the heartbeats that new barriers need."""
    if core.barrier_due:
        core.barrier_due = False
        broadcast_heartbeat(core)
        confirm_barriers(core)
    for replica, progress in core.progress.items():
        while progress.may_send(core.options) and (core.catch_up_bytes > 0 or replica in core.electors):
            if not _send_append(core, replica, progress):
                break


def _send_append(core: "Raft", replica: ReplicaId, progress: Progress) -> bool:
    """One append (or the fold); whether another may follow at once."""
    if progress.state is State.REPLICATE and progress.next > core.last_index:
        return False
    if not beginning.may_append(core, replica, progress):
        return False
    prev = Index(progress.next - 1)
    prev_term = core.terms.term_at(prev)
    if prev < core.terms.fold_index or prev_term is None or progress.blank:
        beginning.send_fold(core, replica, progress)
        return False
    last = min(core.last_index, Index(prev + core.options.entries_per_append_max))
    headers = core.sizes.headers(core.terms, core.memberships, progress.next, last)
    size = 0
    for place, header in enumerate(headers):
        size += header.size_bytes
        if size > core.options.bytes_per_append_max and place:
            headers = headers[:place]
            size -= header.size_bytes
            break
    core.send(
        AppendEntries(
            sender=core.me,
            to=replica,
            term=core.term,
            prev_index=prev,
            prev_term=prev_term,
            entries=headers,
            commit=core.commit,
            last_index=core.last_index,
            beginning=beginning.number_of(core, progress) if prev < core.floor else 0,
            search=progress.search,
        )
    )
    progress.sent(Index(prev + len(headers)), size)
    if replica not in core.electors:
        core.catch_up_bytes -= size
    return progress.state is State.REPLICATE


def confirm_barriers(core: "Raft") -> None:
    """§6.4 of the thesis."""
    if not core.barriers or core.terms.term_at(core.commit) != core.term:
        return
    progress = core.progress
    reached = core.quorum.reached(lambda voter: core.barrier_round if voter == core.me else progress[voter].barrier)
    while core.barriers and core.barriers[0] <= reached:
        core.confirmed.append(core.barriers.pop(0))


def begin_transfer(core: "Raft", to: ReplicaId | None) -> None:
    """Catch the target up, then ask it to campaign; nothing is proposed meanwhile."""
    candidates = [replica for replica in core.voters if replica != core.me and to in {None, replica}]
    target = max(candidates, key=lambda replica: core.progress[replica].match, default=None)
    if target is None or core.progress[target].state is not State.REPLICATE:
        return  # no voter, or far behind: while it caught up nobody could publish
    core.wake()
    if target != core.transferee:  # asked for again it has no more time, and the check of the quorum comes
        core.transferee = target
        core.elapsed = 0
    _hand_over(core)


def _hand_over(core: "Raft") -> None:
    target = core.transferee
    if target is not None and core.progress[target].match == core.last_index:
        core.send(TimeoutNow(sender=core.me, to=target, term=core.term))
