"""One log's disk work that is not done yet: queued in order, taken as one write, kept if the disk was full."""

from cluster.log.segment import Segment
from cluster.log.write import Put, Remove, Replace, Step, Write
from cluster.world import File

REMOVALS_MAX = 16
"""Segments that a log removes at once: each takes the node's writer some milliseconds, in which nothing is written."""


class Pending:
    """`bytes` of frames wait, taken or not; one write at a time is `under_way`."""

    def __init__(self) -> None:
        self.bytes = 0
        self.under_way: Write | None = None
        self._steps: list[Step] = []
        self._failed: Write | None = None

    def add(self, *steps: Step) -> None:
        """To be done after everything before."""
        self._steps += steps

    def put(self, segment: Segment, position: int, buffers: list[bytes], size: int) -> None:
        """Frames to be written there, together with those before them if they follow."""
        self.bytes += size
        last = self._steps[-1] if self._steps else None
        if isinstance(last, Put) and last.segment is segment and last.position + last.size == position:
            last.buffers.extend(buffers)
            last.size += size
        else:
            self._steps.append(Put(segment, position, buffers, size))

    def take(self) -> tuple[list[Step], list[File]]:
        """All of it, what met a full disk first, and the files that it left unsynced. None is left."""
        steps, self._steps = self._steps, []
        failed, self._failed = self._failed, None
        return (steps, []) if failed is None else ([*failed.undone, *steps], failed.dirty)

    def written(self, write: Write, *, full: bool) -> None:
        """What was taken is on disk; or, `full`, it waits."""
        self.under_way = None
        self.bytes -= write.written_bytes
        if full:
            self._failed = write

    @property
    def replacing(self) -> bool:
        """Whether a rewritten file has not taken its place yet."""
        return any(isinstance(step, Replace) and step.old[0].file is not None for step in self._undone())

    @property
    def removals_left(self) -> int:
        """So many more segments may be removed for now."""
        return max(REMOVALS_MAX - sum(isinstance(step, Remove) for step in self._undone()), 0)

    def _undone(self) -> list[Step]:
        taken = [write for write in (self._failed, self.under_way) if write is not None]
        return [*(step for write in taken for step in write.undone), *self._steps]

    def leaving(self) -> list[Segment]:
        """Segments that are no part of the log any more, and whose files are there until the work is done."""
        steps = [*(self._failed.undone if self._failed is not None else ()), *self._steps]
        removed = [step.segment for step in steps if isinstance(step, Remove)]
        return removed + [segment for step in steps if isinstance(step, Replace) for segment in step.old]
