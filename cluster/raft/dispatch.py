"""A message that arrived, and whose it is: the rules 1 and 2 of `core`, then the role's own file."""

from typing import TYPE_CHECKING

from cluster.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    RequestVote,
    TailQuery,
    TailReply,
    TimeoutNow,
    VoteReply,
)
from cluster.raft import election, following, replication, tail
from cluster.raft.ready import Role

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def step(core: "Raft", message: RaftMessage) -> None:
    """Take a message from another replica; it may be one that this log does not know, yet or any more."""
    if message.to != core.me:
        return
    heartbeat = isinstance(message, Heartbeat | HeartbeatReply) and message.term == core.term
    if core.asleep and not heartbeat and message.sender in core.others:
        core.wake()
    if isinstance(message, TailQuery | TailReply):
        tail.step(core, message)
        return
    if isinstance(message, RequestVote | VoteReply) and message.pre:
        election.step_pre_vote(core, message)
        return
    if isinstance(message, RequestVote) and election.is_sticky(core, message):
        return
    if message.term > core.term:
        core.become_follower(message.term, None)
    if message.term < core.term:
        following.answer_stale(core, message)
        return
    _step_in_term(core, message)


def _step_in_term(core: "Raft", message: RaftMessage) -> None:
    match message:
        case AppendEntries():
            following.append_entries(core, message)
        case AppendReply():
            replication.append_reply(core, message)
        case Heartbeat():
            following.heartbeat(core, message)
        case HeartbeatReply():
            replication.heartbeat_reply(core, message)
        case RequestVote():
            election.request_vote(core, message)
        case VoteReply():
            election.vote_reply(core, message)
        case InstallFold():
            following.install_fold(core, message)
        case TimeoutNow():
            if core.role is Role.FOLLOWER:
                core.campaign(transfer=True)
        case _:
            raise AssertionError(f"not a message of Raft: {message}")
