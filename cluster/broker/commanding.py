"""Who waits for a command of this replica's partition, and what the partition's state made of it.

A command is always appended, even one that the state will refuse: the refusal is then as durable, and as certain, as
anything else, and needs no read barrier. Nothing of the state is told before the entry that made it is committed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from cluster.broker.requests import Command
from cluster.errors import DiskFull, OutcomeUnknown, RiverrunError
from cluster.log import Log
from cluster.raft import Raft
from cluster.records import Entry, EntryKind
from cluster.types import Index
from cluster.world import Clock


class Commanding:
    """Commands that were appended and are not committed."""

    def __init__(self, *, raft: Raft, log: Log, clock: Clock, not_leader: Callable[[], RiverrunError]) -> None:
        self._raft = raft
        self._log = log
        self._clock = clock
        self._not_leader = not_leader
        self._waiting: deque[tuple[Index, Any, asyncio.Future[Any]]] = deque()

    def propose(self, command: Command) -> Entry | None:
        """The entry, if it can be appended now. `stored` must follow when it was."""
        if command.reply.done():
            return None
        if not self._raft.is_leader:
            command.reply.set_exception(self._not_leader())
            return None
        if self._log.full:
            command.reply.set_exception(DiskFull("the disk of the node that keeps this group is full"))
            return None
        header = self._raft.propose(len(command.content))
        if header is None:
            command.reply.set_exception(self._not_leader())
            return None
        return Entry(
            index=header.index,
            term=header.term,
            kind=EntryKind.COMMAND,
            base_offset=self._log.end_offset,
            append_time_ns=max(self._clock.wall_ns(), self._log.fold.last_append_time_ns),
            control=command.content,
        )

    def stored(self, entry: Entry, command: Command) -> None:
        """The entry is in the log, and the state has answered: that waits for the commit."""
        self._waiting.append((entry.index, self._log.fold.answer, command.reply))

    def committed(self) -> None:
        """The commit moved: tell those below it."""
        while self._waiting and self._waiting[0][0] <= self._raft.commit:
            _, answer, reply = self._waiting.popleft()
            if not reply.done():
                reply.set_result(answer)

    def leadership_changed(self) -> None:
        """Whoever leads now, this replica can no longer tell what becomes of what it proposed in another term."""
        if not self._raft.is_leader:
            self.fail_all(OutcomeUnknown("leadership changed before the command was committed"))

    def fail_all(self, error: RiverrunError) -> None:
        """Nobody is left waiting."""
        for _, _, reply in self._waiting:
            if not reply.done():
                reply.set_exception(error)
                reply.exception()  # whoever asked may have left
        self._waiting.clear()
