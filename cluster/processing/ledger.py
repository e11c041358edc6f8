"""What a task's commits add up to, but for keyed state: the Machine of the task's partition. Pure, deterministic.

A commit is accepted if and only if all of these hold; otherwise it is a no-op on every replica alike, and whoever
proposed it is told which rule refused it:

1. BEGIN: the log's first command was a `Begin`, and there is one only.
2. TERM: the commit's term is that of its entry. Who made it led when it was appended, so nobody else's commits, of an
   earlier term, slip in between; and the epochs that destinations see never fall in the order of sequences.
3. NUMBER: n is the last n + 1. Commits made ahead of the log stay in order, none is left out, none comes twice.
4. PREVIOUS: it was made from what stands before it: the commit before it, byte for byte. A runner that is started again
   within its term meets what the one before it had under way; numbers, positions and sequences may then fit by chance
   where user code gave another result, and state would be overwritten by what was computed from a result that is lost.
   So this rule contains 3, 5, 6 and 7 for all runners that compute rightly; those say what went wrong for the others.
5. POSITION: of every input that it read, `begin` is the stored position; each is an owned one, and read once.
6. SEQUENCE: every base sequence is the destination's next; each destination is of a topic that `Begin` named.
7. TIMER: every timer that it fired is there, for that time.
8. SHIPPED: shipped_upto is n - 1 at most, and never falls.
9. FULL: what all timers weigh stays below a limit, for the ledger travels in one message. A runner looks before.

Times are no rules: `now_ns` and `watermark_ns` never go back, so a lower one counts as the one that is known.

The order within a commit: what it fired goes, then timers are set, moved or deleted.
"""

from collections import deque
from enum import StrEnum
from typing import NamedTuple

import msgspec

from cluster.errors import RefusedToStart
from cluster.processing.commit import Begin, Rebind, TaskCommit, checksum_of, decode
from cluster.processing.timers import Timers, bytes_of
from cluster.processing.work import BEFORE_ALL_TIME_NS, Failure
from cluster.types import NO_TERM, Index, Offset, PartitionId, Term, TopicId

FORMAT = 1
TIMERS_BYTES_MAX = 8 * 1024 * 1024
"""A constant, not an option: every replica must answer a commit alike."""


class Rule(StrEnum):
    """Which rule refused a commit."""

    BEGIN = "begin"
    TERM = "term"
    NUMBER = "number"
    PREVIOUS = "previous"
    POSITION = "position"
    SEQUENCE = "sequence"
    TIMER = "timer"
    SHIPPED = "shipped"
    FULL = "full"


class Accepted(NamedTuple):
    """The command counts; `n`: of the commit, 0 of Begin."""

    n: int


class Refused(NamedTuple):
    """The command is a no-op."""

    rule: Rule
    message: str


Verdict = Accepted | Refused


class Unshipped(msgspec.Struct, frozen=True, array_like=True):
    """A commit with outputs that are not known to be at their destinations: which one, where it is, how much."""

    n: int
    index: Index
    bytes: int


class Ledger:
    """What is known after the last command; see `cluster.log.fold.Machine`.

    `n`, `term`, `checksum` are of the last commit (of Begin: 0, 0 and its checksum). `sequences`: the next one of each
    destination; of one that is not there, 0. `shipped_upto`: see TaskCommit. `unshipped`: after that, oldest first.
    `failure`: the last one that a commit told of. `redrive`: partitions with dead letters that are handled again, up to
    where; that is over when the positions are there, whoever leads by then.
    RefusedToStart: the ledger, or a command, was written by another version of riverrun, in a way not known here.
    """

    def __init__(self, encoded: bytes = b"") -> None:
        self.begin: Begin | None = None
        self.n = 0
        self.term = NO_TERM
        self.checksum = 0
        self.now_ns = 0
        self.watermark_ns = BEFORE_ALL_TIME_NS
        self.shipped_upto = 0
        self.positions: dict[PartitionId, Offset] = {}
        self.sequences: dict[PartitionId, int] = {}
        self.timers = Timers([])
        self.unshipped: deque[Unshipped] = deque()
        self.counts: dict[str, int] = {}
        self.failure: Failure | None = None
        self.redrive: dict[PartitionId, Offset] = {}
        self._outputs: frozenset[TopicId] = frozenset()
        if encoded:
            self._decode(encoded)

    # --- commands

    def apply(self, command: bytes, index: Index, term: Term) -> Verdict:
        """See `cluster.log.fold.Machine`."""
        return self.take(decode(command), checksum_of(command), index, term)

    def take(self, command: Begin | TaskCommit, checksum: int, index: Index, term: Term) -> Verdict:
        """The same, decoded; `checksum`: of the command as encoded."""
        if isinstance(command, Begin):
            return self._take_begin(command, checksum)
        refused = self.judge(command, term)
        if refused is not None:
            return refused
        self._take_commit(command, checksum, index)
        return Accepted(command.n)

    def _take_begin(self, begin: Begin, checksum: int) -> Verdict:
        if self.begin is not None:
            return Refused(Rule.BEGIN, "the task has begun already")
        self.begin, self.checksum = begin, checksum
        self.positions = dict(begin.inputs)
        self._outputs = frozenset(begin.outputs)
        return Accepted(0)

    def _take_commit(self, commit: TaskCommit, checksum: int, index: Index) -> None:
        if commit.rebind is not None:
            self._rebind(commit.rebind)
        self.n, self.term, self.checksum = commit.n, commit.term, checksum
        self.now_ns = max(self.now_ns, commit.now_ns)
        self.watermark_ns = max(self.watermark_ns, commit.watermark_ns)
        for read in commit.inputs:
            self.positions[read.input] = read.end
        for output in commit.outputs:
            self.sequences[output.destination] = output.end_sequence
        for fired in commit.fired:
            self.timers.delete(fired.key, fired.name)
        for timer in commit.timers:
            if timer.at_ns is None:
                self.timers.delete(timer.key, timer.name)
            else:
                self.timers.set(timer.key, timer.name, timer.at_ns, timer.clock)
        if commit.outputs:
            self.unshipped.append(Unshipped(commit.n, index, sum(len(output.payload) for output in commit.outputs)))
        self.shipped_upto = commit.shipped_upto
        while self.unshipped and self.unshipped[0].n <= self.shipped_upto:
            self.unshipped.popleft()
        for name, count in commit.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.failure = commit.failure or self.failure
        for partition, end in commit.redrive:
            self.redrive[partition] = max(end, self.redrive.get(partition, end))
        self.redrive = {p: end for p, end in self.redrive.items() if self.positions.get(p, end) < end}

    def _rebind(self, rebind: Rebind) -> None:
        """Partitions that were ever known stay where they are, and so do sequences: a topic may come back."""
        assert self.begin is not None, "a commit was accepted"
        starts = dict(self.begin.inputs)
        inputs = [(partition, starts.get(partition, position)) for partition, position in rebind.inputs]
        self.begin = msgspec.structs.replace(self.begin, inputs=inputs, outputs=rebind.outputs)
        self.positions = {**dict(rebind.inputs), **self.positions}
        self._outputs = frozenset(rebind.outputs)

    # --- the rules

    def judge(self, commit: TaskCommit, term: Term) -> Refused | None:
        """The first rule that a commit in an entry of that term breaks now; None if it would be accepted."""
        if self.begin is None:
            return Refused(Rule.BEGIN, "the task has not begun")
        return (
            self._term(commit, term)
            or self._number(commit)
            or self._position(commit)
            or self._sequence(commit)
            or self._timer(commit)
            or self._shipped(commit)
            or self._full(commit)
            or self._previous(commit)
        )

    def _term(self, commit: TaskCommit, term: Term) -> Refused | None:
        if commit.term == term:
            return None
        return Refused(Rule.TERM, f"made in term {commit.term}, appended in term {term}")

    def _number(self, commit: TaskCommit) -> Refused | None:
        if commit.n == self.n + 1:
            return None
        return Refused(Rule.NUMBER, f"commit {commit.n} does not follow {self.n}")

    def _previous(self, commit: TaskCommit) -> Refused | None:
        if commit.previous == self.checksum:
            return None
        return Refused(Rule.PREVIOUS, f"commit {commit.n} was made from another commit {self.n} than the one here")

    def _position(self, commit: TaskCommit) -> Refused | None:
        seen = set()
        for read in commit.inputs:
            position = self.positions.get(read.input)
            if position is None:
                return Refused(Rule.POSITION, f"{read.input} is no input of this task")
            if read.begin != position or read.input in seen:
                return Refused(Rule.POSITION, f"{read.input} was read from {read.begin}, the position is {position}")
            if read.end < read.begin:
                return Refused(Rule.POSITION, f"{read.input} was read from {read.begin} back to {read.end}")
            seen.add(read.input)
        return None

    def _sequence(self, commit: TaskCommit) -> Refused | None:
        nexts: dict[PartitionId, int] = {}
        for output in commit.outputs:
            destination = output.destination
            if destination.topic not in self._outputs:
                return Refused(Rule.SEQUENCE, f"{destination} is no destination of this task")
            expected = nexts.get(destination, self.sequences.get(destination, 0))
            if output.base_sequence != expected or output.record_count < 1:
                return Refused(
                    Rule.SEQUENCE,
                    f"{output.record_count} records for {destination} with sequence {output.base_sequence}; "
                    f"{expected} comes next",
                )
            nexts[destination] = output.end_sequence
        return None

    def _timer(self, commit: TaskCommit) -> Refused | None:
        seen = set()
        for fired in commit.fired:
            at_ns = self.timers.at_ns(fired.key, fired.name)
            if at_ns != fired.at_ns or (fired.key, fired.name) in seen:
                return Refused(Rule.TIMER, f"there is no timer {fired.name!r} for {fired.at_ns}: it is {at_ns}")
            seen.add((fired.key, fired.name))
        return None

    def _shipped(self, commit: TaskCommit) -> Refused | None:
        if self.shipped_upto <= commit.shipped_upto < commit.n:
            return None
        return Refused(
            Rule.SHIPPED, f"shipped up to {commit.shipped_upto} of {commit.n}; {self.shipped_upto} is known already"
        )

    def _full(self, commit: TaskCommit) -> Refused | None:
        new = {(t.key, t.name) for t in commit.timers if t.at_ns is not None and (t.key, t.name) not in self.timers}
        more = sum(bytes_of(key, name) for key, name in new)
        if not more or self.timers.bytes + more <= TIMERS_BYTES_MAX:
            return None
        return Refused(
            Rule.FULL, f"{len(self.timers)} timers weigh {self.timers.bytes} bytes, of at most {TIMERS_BYTES_MAX}"
        )

    # --- the log

    def trim_limit(self, flushed: Index) -> Index:
        """Up to here the log is not needed, if the store is durable up to `flushed`. Of a ledger of committed entries.

        What is unshipped is read from the log, and what the store may lose in a crash is applied from it again.
        """
        return min(flushed, Index(self.unshipped[0].index - 1)) if self.unshipped else flushed

    def encode(self) -> bytes:
        """See `cluster.log.fold.Machine`."""
        content = _Plain(
            begin=self.begin,
            n=self.n,
            term=self.term,
            checksum=self.checksum,
            now_ns=self.now_ns,
            watermark_ns=self.watermark_ns,
            shipped_upto=self.shipped_upto,
            positions=sorted((*partition, position) for partition, position in self.positions.items()),
            sequences=sorted((*partition, sequence) for partition, sequence in self.sequences.items()),
            timers=self.timers.plain(),
            unshipped=list(self.unshipped),
            counts=sorted(self.counts.items()),
            failure=self.failure,
            redrive=sorted((*partition, end) for partition, end in self.redrive.items()),
        )
        return bytes([FORMAT]) + msgspec.msgpack.encode(content)

    def _decode(self, encoded: bytes) -> None:
        if encoded[0] != FORMAT:
            raise RefusedToStart(
                f"a task's ledger was written by another version of riverrun (format {encoded[0]}, not {FORMAT})"
            )
        try:
            plain = msgspec.msgpack.decode(encoded[1:], type=_Plain)
        except msgspec.DecodeError as error:
            raise RefusedToStart(f"a task's ledger was written by another version of riverrun: {error}") from error
        self.begin, self.n, self.term, self.checksum = plain.begin, plain.n, plain.term, plain.checksum
        self.now_ns, self.watermark_ns, self.shipped_upto = plain.now_ns, plain.watermark_ns, plain.shipped_upto
        self.positions = {PartitionId(topic, number): position for topic, number, position in plain.positions}
        self.sequences = {PartitionId(topic, number): sequence for topic, number, sequence in plain.sequences}
        self.timers = Timers(plain.timers)
        self.unshipped = deque(plain.unshipped)
        self.counts = dict(plain.counts)
        self.failure = plain.failure
        self.redrive = {PartitionId(topic, number): end for topic, number, end in plain.redrive}
        self._outputs = frozenset(self.begin.outputs) if self.begin is not None else frozenset()


class _Plain(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """As it is encoded: fields may be added at the end, with defaults."""

    begin: Begin | None
    n: int
    term: Term
    checksum: int
    now_ns: int
    watermark_ns: int
    shipped_upto: int
    positions: list[tuple[TopicId, int, Offset]]
    sequences: list[tuple[TopicId, int, int]]
    timers: list[tuple[bytes, str, int, int]]
    unshipped: list[Unshipped]
    counts: list[tuple[str, int]]
    failure: Failure | None = None
    redrive: list[tuple[TopicId, int, Offset]] = []
