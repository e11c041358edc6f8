"""Which record ends the process that runs user code: works become smaller until it is alone, and then it is condemned.

User code that raises says at which record. Code that ends its process, hangs, or takes too much memory does not: so
the work at which it happened is done again in halves, and a record that ended the process as often as `ALONE_MAX`
says, alone, is not shown to user code again: it is treated like one that made it raise (`Work.condemned`). Works grow
again as they succeed. A timer that does that is somebody's who set it: the task stops. Pure.
"""

from cluster.errors import HostFailed, ProcessorFailed
from cluster.processing.work import Condemned, Work

ALONE_MAX = 3
"""So often may the process end with one and the same record, or timer, in it."""


class Suspicion:
    """Of one task. `records_max`: what the next work may hold; None: nothing is suspected."""

    def __init__(self) -> None:
        self.records_max: int | None = None
        self.condemned: list[Condemned] = []
        self._alone: tuple[object, int] = (None, 0)

    @property
    def timers_apart(self) -> bool:
        """Timers and records are not in one work now."""
        return self.records_max is not None

    def failed(self, work: Work, error: HostFailed) -> None:
        """The process ended in the middle of this work. ProcessorFailed: at a timer, alone, and not for the first time.

        A work with nothing in it says nothing.
        """
        held = sum(batch.end - batch.begin for batch in work.batches) + len(work.fired)
        if held > 1:
            self.records_max = (
                max(held // 2, 1) if self.records_max is None else max(min(self.records_max, held) // 2, 1)
            )
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
        number, partition, offset = _place(work)
        why = f"{type(error).__name__}: {error.message}"
        self.condemned.append(Condemned(input=number, partition=partition, offset=offset, why=why))

    def too_large(self, work: Work, size: int, size_max: int) -> None:
        """What came of the work does not fit into one commit. ProcessorFailed: though it was one record, or timer."""
        held = sum(batch.end - batch.begin for batch in work.batches) + len(work.fired)
        if held <= 1:
            raise ProcessorFailed(
                f"what comes of one record, or timer, takes {size} bytes; one commit may hold {size_max}"
            )
        self.records_max = held // 2

    def passed(self, work: Work) -> None:
        """The work was done."""
        done = {(batch.input, batch.partition): batch.end for batch in work.batches}
        self.condemned = [c for c in self.condemned if c.offset >= done.get((c.input, c.partition), 0)]
        if self.records_max is not None:
            self.records_max = self.records_max * 2 if self.records_max < RECORDS_ENOUGH else None
            if self.condemned:
                self.records_max = 1


RECORDS_ENOUGH = 10_000
"""A work that holds so many is as large as any."""


def _place(work: Work) -> tuple[int, int, int]:
    batch = work.batches[0]
    return batch.input, batch.partition, batch.begin
