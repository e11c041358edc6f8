"""A node outside the quorum follows a member, and passes proposals on.

It folds the same commands as members do, in the same order, so it has the same state; after a gap it asks again from
where it stands. A member that is silent is left for the next one. A proposal that was passed on and not answered may
have been applied: OutcomeUnknown; one that could not be sent was not: Unavailable.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from cluster.controller.quorum.between import Between, Follow, News, Outcome, Pass, Piece
from cluster.errors import InvalidRequest, OutcomeUnknown, Unavailable
from cluster.types import NodeId
from cluster.world import Clock

SILENT_S_MAX = 1.5
ASK_EVERY_S = 0.3


class Gathering:
    """The pieces of one state, in order; those of another one begin anew."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._what = (0, 0)

    def take(self, piece: Piece) -> bytes | None:
        """The whole, with its last piece."""
        if piece.place == 0:
            self._pieces, self._what = [], (piece.number, piece.count)
        if (piece.number, piece.count) != self._what or piece.place != len(self._pieces):
            return None
        self._pieces.append(piece.content)
        if len(self._pieces) < piece.count:
            return None
        whole, self._pieces = b"".join(self._pieces), []
        return whole


class Following:
    """What one node asks of members."""

    def __init__(self, clock: Clock, me: NodeId, send: Callable[[NodeId, Between], bool]) -> None:
        self._clock = clock
        self._me = me
        self._send = send
        self._member: NodeId | None = None
        self._heard_s = self._asked_s = float("-inf")
        self._whole = Gathering()
        self._ids = count(1)
        self._passed: dict[int, tuple[NodeId, asyncio.Future[Outcome]]] = {}
        self.leader: NodeId | None = None

    def tick(self, candidates: Sequence[NodeId], applied: int) -> None:
        """Have a member that tells."""
        now = self._clock.monotonic_s()
        silent = now - self._heard_s > SILENT_S_MAX
        if (self._member in candidates and not silent) or now - self._asked_s < ASK_EVERY_S or not candidates:
            return
        behind = [node for node in candidates if self._member is None or node > self._member]
        first = self._me % len(candidates) if self._member is None else 0
        self._member = (behind or list(candidates))[first if behind else 0]
        self._asked_s = now
        self._whole = Gathering()  # of another member, or of an earlier time
        self._send(self._member, Follow(applied=applied))

    def news(self, node: NodeId, message: News, applied: int) -> Sequence[bytes]:
        """Commands to apply now."""
        if node != self._member:
            return ()
        self._heard_s = self._clock.monotonic_s()
        self.leader = NodeId(message.leader) if message.leader else None
        if message.first == applied + 1:
            return message.commands
        if message.commands or message.first > applied + 1:
            self._again(applied)
        return ()

    def piece(self, node: NodeId, message: Piece) -> bytes | None:
        """The whole state, with its last piece."""
        if node != self._member:
            return None
        self._heard_s = self._clock.monotonic_s()
        return self._whole.take(message)

    def lost(self, node: NodeId) -> None:
        """A link was lost: nothing is heard from there, and whether what was passed on was done, nobody knows."""
        if node == self._member:
            self._heard_s = float("-inf")
            self.leader = None
        for asked, answer in self._passed.values():
            if asked == node and not answer.done():
                answer.set_exception(OutcomeUnknown("the member that this was passed on to is gone"))

    def stop(self) -> None:
        """Follow nobody."""
        self._member, self.leader = None, None
        self._heard_s = self._asked_s = float("-inf")

    async def propose(self, command: bytes, candidates: Sequence[NodeId], timeout_s: float) -> bytes:
        """Have a member propose it. See Quorum."""
        member = next((node for node in (self.leader, self._member, *candidates) if node in candidates), None)
        number = next(self._ids)
        if member is None or not self._send(member, Pass(id=number, command=command)):
            raise Unavailable("no member of the controller's quorum is reached from here now")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._passed[number] = (member, answer)
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await answer
        except TimeoutError:
            raise OutcomeUnknown("the controller did not answer in time") from None
        finally:
            del self._passed[number]
        errors = {kind.reason: kind for kind in (Unavailable, InvalidRequest)}
        if outcome.reason:
            raise errors.get(outcome.reason, OutcomeUnknown)(outcome.message)
        return outcome.result

    def outcome(self, node: NodeId, message: Outcome) -> None:
        """A member's answer."""
        asked, answer = self._passed.get(message.id, (None, None))
        if asked == node and answer is not None and not answer.done():
            answer.set_result(message)

    def _again(self, applied: int) -> None:
        now = self._clock.monotonic_s()
        if self._member is not None and now - self._asked_s >= ASK_EVERY_S:
            self._asked_s = now
            self._send(self._member, Follow(applied=applied))
