"""A replica of a task's log, and the task's state beside it, kept where the log's commit is.

Every replica does the same with what is committed, the leader as well, so whoever leads next has the state already.
The store is flushed every now and then; only then may the log go. A replica whose log begins behind what its store
holds, and one whose store is damaged, gets the state from another replica.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from cluster.broker.running import Running
from cluster.config import ProcessingOptions
from cluster.errors import CorruptStorage, RiverrunError, Unavailable
from cluster.log.fold import decode_fold
from cluster.processing.applying import Applying
from cluster.processing.commit import Begin, TaskCommit
from cluster.processing.ledger import Accepted, Ledger
from cluster.processing.snapshot import Place
from cluster.processing.store import Store
from cluster.processing.surroundings import Stores
from cluster.records import Entry, EntryKind
from cluster.types import NO_TERM, Index, Term
from cluster.world import Clock

log_event = structlog.get_logger()
ENTRIES_BYTES_MAX = 4 * 1024 * 1024
ENTRIES_MAX = 256
"""Applied in one piece of work."""
MOMENT_S = 0.001
AGAIN_S = 1.0
"""After a full disk, and between tries to get the state."""
Fetch = Callable[["Keeper", Store, int], Awaitable[None]]
"""Install another replica's state, with at least so many commits, into the store; RiverrunError if nobody gives it."""


class Keeper:
    """One replica's. `on_applied`: commits that count have been applied; `on_change`: that, or who leads, changed."""

    def __init__(
        self, running: Running, *, owner: str, stores: Stores, clock: Clock, options: ProcessingOptions, fetch: Fetch
    ) -> None:
        self.running = running
        self.replica = running.replica
        self.applying: Applying | None = None
        self.store: Store | None = None
        self.applied_term: Term = NO_TERM
        self.on_applied: Callable[[Sequence[TaskCommit]], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self.turn = asyncio.Lock()
        """Held while entries are applied, on another thread, until that was told: in between the ledger is half."""
        self._owner = owner
        self._stores = stores
        self._clock = clock
        self._options = options
        self._fetch = fetch
        self._wake = asyncio.Event()
        self._damage: CorruptStorage | None = None
        """Found by whoever has read; the store is not to be used any more."""
        self._flushed_s = clock.monotonic_s()
        self._dirty = False
        self.replica.log.trim_limit = Index(0)

    def folded(self) -> None:
        """The log's commit moved, or somebody else leads."""
        self._wake.set()
        self.on_change()

    @property
    def is_current(self) -> bool:
        """Whether this replica leads, and all before its term is applied: then the ledger is the truth."""
        raft, applying = self.replica.raft, self.applying
        return raft.is_leader and applying is not None and applying.whole and self.applied_term == raft.term

    async def read_state(self, places: Sequence[Place]) -> list[bytes | None]:
        """Committed values. Unavailable: there is no store just now, or it is damaged, and got anew."""
        store = self.store
        if store is None:
            raise Unavailable("the task's state is not here just now")
        try:
            return await self._stores.run(lambda: store.get_many(places))
        except CorruptStorage as error:
            if self.store is store:
                self._damage = error
                self._wake.set()
            raise Unavailable(f"the task's state is damaged here, and is got anew: {error.message}") from error

    def read_log(self, first: Index, last: Index) -> list[Entry]:
        """Entries from `first` on, as many as are applied at once. A damaged log ends the node, as for its replica."""
        try:
            return self.replica.log.entries(first, last=last, bytes_max=ENTRIES_BYTES_MAX, count_max=ENTRIES_MAX)
        except CorruptStorage as error:
            raise AssertionError(f"the log of {self._owner} is damaged: {error.message}") from error

    # --- following the log

    async def run(self) -> None:
        """Follow the log, until cancelled."""
        while True:
            try:
                await self._keep()
            except CorruptStorage as error:
                log_event.warning("task_state_damaged", task=self._owner, detail=error.message)
                self.close()
                await self._stores.run(lambda: self._stores.remove(self.replica.log.directory))
            except RiverrunError as error:
                log_event.warning("task_state_waits", task=self._owner, reason=error.reason, detail=error.message)
                self.close()
                await asyncio.sleep(AGAIN_S)

    def close(self) -> None:
        """Let go of the store, after whatever it is doing; `run` is cancelled before."""
        store, self.store, self.applying = self.store, None, None
        self.on_change()
        if store is not None:
            self._stores.soon(store.close)

    async def _keep(self) -> None:
        directory = self.replica.log.directory
        self.store = store = await self._stores.run(lambda: self._stores.open(directory, self._owner))
        while True:
            self.applying = await self._begin(store)
            self.applied_term = NO_TERM
            self._look_at_limit()
            self.on_change()
            await self._follow(store, self.applying)
            self.applying = None

    async def _begin(self, store: Store) -> Applying:
        log = self.replica.log
        while True:
            index, _, data = log.fold_at_start()
            log.trim_limit = index
            ledger = decode_fold(data, Ledger).machine
            assert isinstance(ledger, Ledger)
            if store.applied.n >= ledger.n:
                return Applying(ledger, index, store)
            try:
                await self._fetch(self, store, ledger.n)
            except RiverrunError as error:
                log_event.info("task_state_missing", task=self._owner, n=ledger.n, reason=error.reason)
                await asyncio.sleep(AGAIN_S)

    async def _follow(self, store: Store, applying: Applying) -> None:
        """Return when the log has begun anew, somewhere further on."""
        log, raft = self.replica.log, self.replica.raft
        while log.first_index <= applying.index + 1:
            damage, self._damage = self._damage, None
            if damage is not None:
                raise damage
            if self._dirty and self._flush_in_s() < MOMENT_S:  # however much there is to apply
                await self._flush(store)
            upto = min(raft.commit, log.last_index)
            if applying.index < upto:
                first = Index(applying.index + 1)
                entries = self.read_log(first, upto)
                async with self.turn:
                    counted = await self._stores.run(partial(_apply, applying, entries))
                    self.applied_term = entries[-1].last_term
                    self._dirty = self._dirty or bool(counted)
                    self._look_at_limit()
                    self.on_applied(counted)
                self.on_change()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_in_s() if self._dirty else None):
                    await self._wake.wait()
            self._wake.clear()

    def _flush_in_s(self) -> float:
        return self._options.flush_interval_s - (self._clock.monotonic_s() - self._flushed_s)

    async def _flush(self, store: Store) -> None:
        self._dirty = False
        self._flushed_s = self._clock.monotonic_s()
        await self._stores.run(store.flush)
        self._look_at_limit()

    def _look_at_limit(self) -> None:
        """What the log must keep: for the store, for shipping, and for followers that are not far behind."""
        assert self.applying is not None
        raft, log = self.replica.raft, self.replica.log
        limit = self.applying.trim_limit()
        if raft.is_leader:
            for replica in raft.others:
                match = raft.match(replica)
                if match < limit and log.bytes_after(match) <= self._options.lagging_bytes_max:
                    limit = match
        log.trim_limit = limit


def _apply(applying: Applying, entries: Sequence[Entry]) -> list[TaskCommit]:
    """The commits that count; on the stores' thread."""
    counted = []
    for entry in entries:
        if entry.kind is not EntryKind.COMMAND:
            applying.pass_over(entry.last_index)
            continue
        command, verdict = applying.apply(entry.control, entry.index, entry.term)
        if isinstance(verdict, Accepted) and not isinstance(command, Begin):
            counted.append(command)
    return counted
