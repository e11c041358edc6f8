"""Commits on their way into a task's log: made against the tip, proposed, and decided there.

`tip` is the ledger as if all that was made were committed. As soon as one commit is refused, or its fate is not known,
`failure` says so, and all that was made from it is worthless.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from cluster.broker.requests import Command
from cluster.config import ProcessingOptions
from cluster.errors import ProcessorFailed, RiverrunError, Unavailable
from cluster.processing.commit import checksum_of, encode
from cluster.processing.ledger import Accepted, Ledger, Refused
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.making import Making
from cluster.processing.tasks.suspicion import Suspicion
from cluster.processing.work import Effects, Work
from cluster.types import Index, Offset, PartitionId


class Proposing:
    """Of one attempt of a task's leader. `replies`: of everything that any of its attempts has proposed."""

    def __init__(
        self,
        *,
        name: str,
        keeper: Keeper,
        tip: Ledger,
        making: Making,
        suspicion: Suspicion,
        options: ProcessingOptions,
        replies: set[asyncio.Future[Any]],
        on_change: Callable[[], None],
    ) -> None:
        self.tip = tip
        self.unapplied: dict[int, Work] = {}
        """Proposed, and not applied here."""
        self.failure: RiverrunError | None = None
        self._name = name
        self._keeper = keeper
        self._making = making
        self._suspicion = suspicion
        self._options = options
        self._replies = replies
        self._on_change = on_change

    async def propose(
        self,
        work: Work,
        effects: Effects,
        *,
        shipped_upto: int,
        counts: Mapping[str, int],
        redrive: Sequence[tuple[PartitionId, Offset]] = (),
    ) -> None:
        """What came of the work, into the log. Unavailable: it is to be done again in parts, for it does not fit.

        ProcessorFailed: what came of it makes no sense, or does not fit though it is one record.
        """
        try:
            commit = self._making.commit(
                self.tip, work, effects, shipped_upto=shipped_upto, counts=counts, redrive=redrive
            )
        except ProcessorFailed as error:
            self.unfit(work, error.message)
        encoded = encode(commit)
        size_max = self._options.commit_bytes_max
        if len(encoded) > size_max:
            self.unfit(work, f"what comes of it takes {len(encoded)} bytes, and one commit may hold {size_max}")
        verdict = self.tip.take(commit, checksum_of(encoded), Index(0), commit.term)
        if isinstance(verdict, Refused):
            raise ProcessorFailed(f"{self._name}: {verdict.message}")
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.unapplied[commit.n] = work
        await self._keeper.running.ref.tell(Command(encoded, reply))
        self._replies.add(reply)
        reply.add_done_callback(partial(self._decided, commit.n))

    def unfit(self, work: Work, why: str) -> NoReturn:
        """What comes of the work cannot be committed. As `propose`."""
        self._suspicion.unfit(work, why)
        raise Unavailable(f"a work is done again, with fewer records: {why}")

    def applied(self, n: int) -> bool:
        """The log has it; whether it was made here."""
        return self.unapplied.pop(n, None) is not None

    def _decided(self, n: int, reply: "asyncio.Future[Any]") -> None:
        self._replies.discard(reply)
        if reply.cancelled():
            return
        error = reply.exception()
        if error is None and isinstance(reply.result(), Accepted):
            return
        if isinstance(error, RiverrunError):
            self.failure = error
        else:
            self.failure = Unavailable(f"commit {n} was refused: {reply.result() if error is None else error}")
        self._on_change()
