"""A member tells nodes outside the quorum what is applied, command by command, and proposes what they pass on.

A command's number is the same on every node, so a follower goes on with any member where it stood with another. Of
what is older than the last `follow_commands_max` commands, or than `follow_bytes_max` of them, it gets the whole state,
in pieces, one a tick.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from cluster.config import ControllerOptions
from cluster.controller.commands import decode_proposal
from cluster.controller.quorum import Fold
from cluster.controller.quorum.between import Between, Follow, News, Outcome, Pass, Piece
from cluster.errors import RiverrunError
from cluster.types import NodeId

NEWS_BYTES = 256 * 1024
ALIVE_EVERY_TICKS = 15


@dataclass(slots=True)
class _Follower:
    sent: int
    pieces: deque[Piece] = field(default_factory=deque)
    quiet_ticks: int = 0


def pieces_of(number: int, state: bytes, size: int) -> deque[Piece]:
    """A state as it travels."""
    parts = [state[start : start + size] for start in range(0, len(state), size)] or [b""]
    return deque(Piece(number=number, place=place, count=len(parts), content=part) for place, part in enumerate(parts))


class Serving:
    """What one node tells others of its fold."""

    def __init__(self, fold: Fold, options: ControllerOptions, send: Callable[[NodeId, Between], bool]) -> None:
        self._fold = fold
        self._options = options
        self._send = send
        self._last: deque[tuple[int, bytes]] = deque()
        self._last_bytes = 0
        self._followers: dict[NodeId, _Follower] = {}
        self._starts: dict[NodeId, deque[Piece]] = {}
        self._passed: dict[asyncio.Task[None], NodeId] = {}

    def applied(self, command: bytes) -> None:
        """The fold has taken one more."""
        number = self._fold.applied()
        if self._last and self._last[-1][0] != number - 1:
            self._last.clear()  # it had become another state meanwhile
            self._last_bytes = 0
        self._last.append((number, command))
        self._last_bytes += len(command)
        options = self._options
        while len(self._last) > options.follow_commands_max or self._last_bytes > options.follow_bytes_max:
            self._last_bytes -= len(self._last.popleft()[1])

    def follow(self, node: NodeId, message: Follow) -> None:
        """From now on, tell it."""
        follower = self._followers[node] = _Follower(sent=message.applied, quiet_ticks=ALIVE_EVERY_TICKS)
        if not self._covers(message.applied):
            self._send_whole(follower)

    def start_with(self, node: NodeId, number: int, state: bytes) -> None:
        """Send the state that a configuration begins with, unless that is under way."""
        if not self._starts.get(node):
            self._starts[node] = pieces_of(number, state, self._options.state_piece_bytes)

    def forget(self, node: NodeId) -> None:
        """Its link was lost, and what was under way with it: the next run of it numbers its proposals anew."""
        self._followers.pop(node, None)
        self._starts.pop(node, None)
        self._give_up([task for task, asked in self._passed.items() if asked == node])

    def forget_all(self) -> None:
        """Tell nobody."""
        self._followers.clear()

    def tick(self, leader: NodeId | None) -> None:
        """Send what there is for each."""
        for node, pieces in self._starts.items():
            if pieces and self._send(node, pieces[0]):
                pieces.popleft()
        for node, follower in self._followers.items():
            if follower.pieces:
                if self._send(node, follower.pieces[0]):
                    follower.pieces.popleft()
                continue
            if not self._covers(follower.sent):
                self._send_whole(follower)
                continue
            follower.quiet_ticks += 1
            commands = self._behind(follower.sent)
            if commands or follower.quiet_ticks > ALIVE_EVERY_TICKS:
                news = News(first=follower.sent + 1, commands=commands, leader=leader or 0)
                if self._send(node, news):
                    follower.sent += len(commands)
                    follower.quiet_ticks = 0

    def pass_on(self, node: NodeId, message: Pass, propose: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Propose it, and answer when the outcome is known, or known to be unknown."""

        async def work() -> None:
            try:
                decode_proposal(message.command)
                outcome = Outcome(id=message.id, result=await propose(message.command))
            except RiverrunError as error:
                outcome = Outcome(id=message.id, reason=error.reason, message=error.message)
            self._send(node, outcome)

        task = asyncio.get_running_loop().create_task(work(), name=f"controller/pass/{node}")
        self._passed[task] = node
        task.add_done_callback(self._passed.pop)

    def close(self) -> None:
        """What was passed on is given up; whoever asked does not know the outcome."""
        self._give_up(list(self._passed))

    @staticmethod
    def _give_up(tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()

    def _covers(self, sent: int) -> bool:
        """Whether what is behind `sent` can be told command by command; who is ahead waits."""
        return sent >= self._fold.applied() or bool(self._last and self._last[0][0] <= sent + 1)

    def _behind(self, sent: int) -> list[bytes]:
        commands: list[bytes] = []
        size = 0
        if sent < self._fold.applied():
            for place in range(sent + 1 - self._last[0][0], len(self._last)):
                size += len(self._last[place][1])
                if commands and size > NEWS_BYTES:
                    break
                commands.append(self._last[place][1])
        return commands

    def _send_whole(self, follower: _Follower) -> None:
        follower.pieces = pieces_of(0, self._fold.encode(), self._options.state_piece_bytes)
        follower.sent = self._fold.applied()
