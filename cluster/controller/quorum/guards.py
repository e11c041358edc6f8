"""What stands between PySyncObj 0.3.17 and its peers, because its core alone loses acknowledged commands.

Each rule closes a hole that was proved; none touches its private parts:

- nothing leaves before the journal is synced (it never syncs by itself), and nothing at all while the disk is full:
  its own steps are never broken off for that, as it takes a newer term over before it stops leading;
- an acknowledgement carries the term it was given in; one of an older leadership is dropped (it would be counted);
- a vote counts once per voter and term (it counts messages);
- entries that are here already are taken out of an append before it is handed in, because it truncates everything
  behind the previous index, also what was acknowledged; an append that only repeats is dropped or moved forward;
- entries already sent on this connection in this term are not sent again after every acknowledgement;
- a mismatch answers with the commit plus one instead of one step back at a time, which could go on for ever;
- chunked entries and snapshots are refused: the batch limit is above any command, and no snapshot is ever made;
- a command is checked before it enters the log: plain bytes for our one method, nothing that unpickling could run,
  no change of members or of the version.
"""

import io
import pickle
from typing import Any

from pysyncobj import SyncObj

from cluster.controller.commands import Proposal, decode_proposal
from cluster.controller.quorum.journal import DurableJournal
from cluster.errors import InvalidRequest

Message = dict[str, Any]
REGULAR, NO_OP = b"\0", b"\1"
"""PySyncObj's type byte of an ordinary command, and all of an entry that is none."""


def wrap(command: bytes) -> bytes:
    """A command as PySyncObj wants it: method 0 (the only one) with one argument. Its own encoding grows bytes."""
    return pickle.dumps((0, (command,)), 5)


class _Plain(pickle.Unpickler):
    """Refuses every name: only plain data comes out."""

    def find_class(self, module: str, name: str) -> Any:
        raise InvalidRequest(f"a command names {module}.{name}")


def check_command(raw: bytes) -> None:
    """Refuse what is not one of our commands."""
    if raw[:1] != REGULAR:
        raise InvalidRequest(f"a command of type {raw[:1]!r}")
    command_in(raw)


def command_in(raw: bytes) -> Proposal | None:
    """Our command in an entry; None: it is one of PySyncObj's own. InvalidRequest if it is neither."""
    if raw[:1] != REGULAR:
        return None
    try:
        method, arguments = _Plain(io.BytesIO(raw[1:])).load()
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError) as error:
        raise InvalidRequest("a command that cannot be read") from error
    if method != 0 or len(arguments) != 1 or not isinstance(arguments[0], bytes):
        raise InvalidRequest("a command for an unknown method")
    return decode_proposal(arguments[0])


class Guards:
    """The rules, for one member."""

    def __init__(self, core: SyncObj, journal: DurableJournal) -> None:
        self._core = core
        self._journal = journal
        self._votes: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}
        """Per peer: the last index sent on this connection, and in which term."""

    def disconnected(self, node: str) -> None:
        """What was sent there may not have arrived."""
        self._sent.pop(node, None)

    def outgoing(self, node: str, message: Message) -> Message:
        """The message to send instead."""
        self._journal.sync()
        kind = message["type"]
        if kind == "next_node_idx":
            return self._acknowledgement(message)
        if kind == "append_entries" and message.get("entries") and message["prevLogIdx"] is not None:
            return self._append(node, message)
        return message

    def incoming(self, node: str, message: Message) -> Message | None:
        """The message to hand in; None to drop it."""
        kind = message["type"]
        if kind == "next_node_idx":
            if message.get("epoch") != self._core.raftCurrentTerm:
                return None
            if message["reset"]:
                self._sent.pop(node, None)
        elif kind == "response_vote":
            if self._votes.get(node, -1) >= message["term"]:
                return None
            self._votes[node] = message["term"]
        elif kind == "append_entries":
            if "prevLogIdx" not in message or "transmission" in message:
                return None
            for entry in message["entries"]:
                if entry[0] != NO_OP:
                    check_command(entry[0])
            if message["term"] >= self._core.raftCurrentTerm:
                return self._without_what_is_here(message)
        elif kind == "apply_command":
            check_command(message["command"])
        elif kind == "timeout_now":
            return None
        return message

    def _acknowledgement(self, message: Message) -> Message:
        journal = self._journal
        message = dict(message, epoch=self._core.raftCurrentTerm)
        if message["reset"] and not message["success"] and message["next_node_idx"] <= journal[-1][1]:
            # Everything committed matches any leader: continue there, not one step back at a time.
            next_index = min(message["next_node_idx"], self._core.raftCommitIndex + 1)
            message["next_node_idx"] = max(next_index, journal[0][1] + 1)
        return message

    def _append(self, node: str, message: Message) -> Message:
        journal, entries = self._journal, message["entries"]
        sent = self._sent.get(node)
        upto = sent[0] if sent is not None and sent[1] == message["term"] else 0
        if upto > message["prevLogIdx"] and journal[0][1] <= upto <= journal[-1][1]:
            message = dict(
                message,
                entries=[entry for entry in entries if entry[1] > upto],
                prevLogIdx=upto,
                prevLogTerm=journal[upto - journal[0][1]][2],
            )
        self._sent[node] = (max(entries[-1][1], upto), message["term"])
        return message

    def _without_what_is_here(self, message: Message) -> Message | None:
        journal = self._journal
        first, last = journal[0][1], journal[-1][1]
        previous, previous_term, entries = message["prevLogIdx"], message["prevLogTerm"], message["entries"]
        if previous is None or not first <= previous <= last or journal[previous - first][2] != previous_term:
            return message
        known = 0
        while (
            known < len(entries)
            and entries[known][1] <= last
            and journal[entries[known][1] - first][2] == entries[known][2]
        ):
            known += 1
        if known:
            previous, previous_term = entries[known - 1][1], entries[known - 1][2]
        if known == len(entries) and previous < last:
            if journal[-1][2] != message["term"]:
                return None if known else message  # the end is not this leader's: a real conflict shows by itself
            previous, previous_term = last, journal[-1][2]  # the end came from this very leader: it matches
        return dict(message, entries=entries[known:], prevLogIdx=previous, prevLogTerm=previous_term)
