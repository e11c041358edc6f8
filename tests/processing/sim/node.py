"""What a node does for the task: keeps its replica's store, applies, and runs an incarnation while it leads."""

from collections import Counter, deque
from collections.abc import Callable
from random import Random

from cluster.processing.applying import Applying
from cluster.processing.commit import TaskCommit, decode
from cluster.processing.ledger import Accepted, Ledger, Refused, Rule
from cluster.processing.snapshot import BEFORE_ALL, decode_chunk
from cluster.processing.store import Snapshot
from cluster.processing.store_memory import MemoryStore
from cluster.types import Index
from tests.processing.sim.group import Group, Replica
from tests.processing.sim.task import Task

Start = Callable[["Node", Ledger], Task]


class Node:
    """One of three."""

    def __init__(
        self, replica: Replica, group: Group, ledger_class: type[Ledger], random: Random, counts: Counter[str]
    ) -> None:
        self.replica = replica
        self.store = MemoryStore()
        self.task: Task | None = None
        self.ghosts: list[Task] = []
        self.mailbox: deque[tuple[Task, int, bytes]] = deque()
        self.indices: dict[int, Index] = {}
        """Where the commits are that tasks here may ship."""
        self._asked: dict[int, tuple[Task, int]] = {}
        self._source: tuple[Node, Snapshot] | None = None
        self._group = group
        self._ledger_class = ledger_class
        self._random = random
        self._counts = counts
        self.applying = self._from_head()

    def _from_head(self) -> Applying:
        return Applying(self._ledger_class(self.replica.head), Index(self.replica.head_index), self.store)

    @property
    def needs_state(self) -> bool:
        """Whether the store is of before the log's start."""
        return self.store.applied.n < self.replica.head_n

    # --- applying

    def apply(self, count: int) -> None:
        """Some more of what is committed."""
        if self.applying.index < self.replica.head_index:
            self.applying = self._from_head()  # a ledger was installed
            self._stop()
        if self.needs_state:
            return
        for index in range(self.applying.index + 1, min(self.applying.index + count, self.replica.commit) + 1):
            item = self.replica.at(index)
            assert item is not None
            if not item.command:
                self.applying.index = item.index
                continue
            command, verdict = self.applying.apply(item.command, item.index, item.term)
            asked = self._asked.pop(index, None)
            if isinstance(command, TaskCommit) and isinstance(verdict, Accepted):
                self._committed(command, item.index)
            if asked is not None:
                self._answer(*asked, accepted=isinstance(verdict, Accepted))

    def _committed(self, commit: TaskCommit, index: Index) -> None:
        self.indices[commit.n] = index
        for task in [*self.ghosts, *([self.task] if self.task is not None else [])]:
            task.committed(commit.n, commit.outputs)

    def _answer(self, task: Task, n: int, *, accepted: bool) -> None:
        task.unanswered.discard(n)
        if not accepted:
            self._retire(task)

    def _retire(self, task: Task) -> None:
        """It makes nothing more; what it made may come all the same."""
        task.stopped = True
        if task is self.task:
            self.task = None
            self.ghosts = [*self.ghosts[-2:], task]

    def _stop(self) -> None:
        if self.task is not None:
            self._retire(self.task)

    # --- leading

    def start(self, start: Start) -> None:
        """An incarnation, when the no-op of the term is applied, and so all that earlier ones have committed."""
        replica = self.replica
        if not replica.leading or self.task is not None or self.needs_state or not self.applying.whole:
            return
        if replica.term_at(replica.last) != replica.leading and replica.last > replica.commit:
            return
        if self.applying.index < replica.commit or not self._term_is_committed():
            return
        ledger = self.applying.ledger
        if ledger.begin is None:
            return
        task = start(self, ledger)
        where = {unshipped.n: unshipped.index for unshipped in ledger.unshipped}
        for n in range(ledger.shipped_upto + 1, ledger.n + 1):
            if n in where:
                self.indices[n] = where[n]
                task.committed(n, self.commit_at(where[n]).outputs)
            else:
                task.committed(n, [])
        self.task = task

    def _term_is_committed(self) -> bool:
        commit = self.replica.commit
        return commit >= self.replica.head_index and self.replica.term_at(commit) == self.replica.leading

    def commit_at(self, index: Index) -> TaskCommit:
        """What is in the log there."""
        item = self.replica.at(index)
        if item is None:
            raise AssertionError(f"entry {index} is needed, and was trimmed")
        command = decode(item.command)
        assert isinstance(command, TaskCommit)
        return command

    def deposed(self, zombie: bool) -> None:  # noqa: FBT001
        """Another leads; whether this one's task hears of it or not."""
        if not zombie:
            self._stop()

    def turn(self, drop: float) -> None:
        """One command from the mailbox into the log, whoever said it."""
        if not self.mailbox:
            return
        task, n, command = self.mailbox.popleft()
        if not self.replica.leading or self._random.random() < drop:
            self._counts["proposals_lost"] += 1
            if self._random.random() < 0.5 or not self.replica.leading:
                self._answer(task, n, accepted=False)
            else:
                task.unanswered.discard(n)  # its runner hears of it by what is refused later
            return
        index = self._group.append(self.replica, command)
        self._counts["proposed_by_ghosts"] += task is not self.task
        self._asked[index] = (task, n)

    # --- crashes and snapshots

    def crash(self) -> None:
        """What is in memory is gone, and of the store some of what was not flushed."""
        kept = self._random.randint(0, self.store.unflushed)
        self._counts["store_commits_lost"] += self.store.unflushed - kept
        self.store.crash(kept)
        self.replica.up, self.replica.leading = False, 0
        self.replica.commit = self.replica.head_index
        for task in [*self.ghosts, *([self.task] if self.task is not None else [])]:
            task.stopped = True
        self.task, self.ghosts, self._source = None, [], None
        self.mailbox.clear()
        self._asked.clear()
        self.applying = self._from_head()

    def install(self, sources: list["Node"], chunk_bytes: int) -> bool:
        """One chunk of another node's state, if it is needed; True if that was the last."""
        if not self.needs_state:
            self._source = None
            return False
        needed = self.replica.head_n
        if self._source is None or not self._source[0].replica.up or self._source[1].applied.n < needed:
            sources = [node for node in sources if node.store.applied.n >= needed]
            if not sources:
                return False
            source = self._random.choice(sources)
            self._source = (source, source.store.snapshot())
        snapshot = self._source[1]
        installing = self.store.installing
        after = installing[1] if installing is not None and installing[0] == snapshot.applied else BEFORE_ALL
        if after != BEFORE_ALL and self._random.random() < 0.3:  # the connection broke: the same snapshot goes on
            self._counts["snapshots_resumed"] += 1
        chunk = snapshot.chunk(after, chunk_bytes)
        done = self.store.install(chunk)
        assert done == decode_chunk(chunk).last
        if done:
            self._counts["snapshots_installed"] += 1
            self._source = None
        return done

    def count_refusal(self, verdict: object) -> None:
        """Which rule it was."""
        if isinstance(verdict, Refused) and verdict.rule is not Rule.BEGIN:
            self._counts[f"refused_by_{verdict.rule}"] += 1
