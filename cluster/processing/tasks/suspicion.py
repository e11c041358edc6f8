"""Which record ends the process that runs user code: works become smaller until it is alone, and then it is condemned.

User code that raises says at which record. Code that ends its process, hangs, or takes too much memory does not: so
the work at which it happened is done again in eighths, and so on, and a record that ended the process as often as
`ALONE_MAX` says, alone, is not shown to user code again: it is treated like one that made it raise (`Work.condemned`).
Not in halves: an end costs all who share the process a new one, and a hang the whole of its time; a smaller work a
commit. Works grow again when what was suspected is done. A timer that does that is somebody's who set it: the task
stops. Pure.
"""

from cluster.errors import HostFailed, ProcessorFailed
from cluster.processing.work import Condemned, Work

SHARE = 8
"""Of what was in a work at which the process ended: so much is in the next one."""
ALONE_MAX = 3
"""So often may the process end with one and the same record, or timer, in it."""


class Suspicion:
    """Of one task. `records_max`: what the next work may hold; None: nothing is suspected."""

    def __init__(self) -> None:
        self.records_max: int | None = None
        self.condemned: list[Condemned] = []
        self._alone: tuple[object, int] = (None, 0)
        self._suspected = 0
        """Records and timers that were in the work at which the process ended, and are not done yet."""

    @property
    def timers_apart(self) -> bool:
        """Timers and records are not in one work now."""
        return self.records_max is not None

    def failed(self, work: Work, error: HostFailed) -> None:
        """The process ended in the middle of this work. ProcessorFailed: at a timer, alone, and not for the first time.

        A work with nothing in it says nothing.
        """
        held = _held(work)
        if held > 1:
            self.records_max, self._suspected = max(held // SHARE, 1), held
            return
        if not held:
            return
        self.records_max = 1
        culprit = (work.fired[0].key, work.fired[0].name) if work.fired else _place(work)
        count = self._alone[1] + 1 if self._alone[0] == culprit else 1
        self._alone = (culprit, count)
        if count < ALONE_MAX:
            return
        if work.fired:
            raise ProcessorFailed(
                f"at timer {work.fired[0].name!r}: {error.message}", timer=work.fired[0].name, **error.metadata
            )
        self._condemn(work, error.message)

    def unfit(self, work: Work, why: str) -> None:
        """What came of the work cannot be committed. ProcessorFailed: though it was a timer, or a condemned record."""
        held = _held(work)
        if held > 1:
            self.records_max, self._suspected = max(held // SHARE, 1), held
            return
        if not held and work.records_max > 1:  # a source's: what came is known by its number alone
            self.records_max = max(work.records_max // SHARE, 1)
            return
        condemned = {(c.input, c.partition, c.offset) for c in work.condemned}
        if work.fired or not work.batches or _place(work) in condemned:
            raise ProcessorFailed(why)
        self.records_max = 1
        self._condemn(work, why)

    def _condemn(self, work: Work, why: str) -> None:
        number, partition, offset = _place(work)
        self.condemned.append(Condemned(input=number, partition=partition, offset=offset, why=why))

    def passed(self, work: Work) -> None:
        """The work was done."""
        done = {(batch.input, batch.partition): batch.end for batch in work.batches}
        self.condemned = [c for c in self.condemned if c.offset >= done.get((c.input, c.partition), 0)]
        self._suspected = max(self._suspected - _held(work), 0)
        if self.records_max is None or self._suspected:
            return
        self.records_max = self.records_max * 2 if self.records_max < RECORDS_ENOUGH else None
        if self.condemned:
            self.records_max = 1


RECORDS_ENOUGH = 10_000
"""A work that holds so many is as large as any."""


def _held(work: Work) -> int:
    """Offsets and timers."""
    return sum(batch.end - batch.begin for batch in work.batches) + len(work.fired)


def _place(work: Work) -> tuple[int, int, int]:
    batch = work.batches[0]
    return batch.input, batch.partition, batch.begin
