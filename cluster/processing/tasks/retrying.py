"""What is to be tried again in a while: a record holds up its partition, a timer all of its task. Pure.

User code that raises while `on_error` has retries left gets its work given up (TriesLeft); here is remembered at what,
how often, and when it is its turn. Whoever makes works hands over what comes before that record, goes on with other
partitions, and then hands it over alone, with the number of its failures (`Work.failures`). After a timer nothing goes
on: what follows counts on its having fired.

The node waits, and not the process with user code: there a wait would take the time of all tasks that share it, and
look like a hang. And the work is given up as a whole, so that a commit is as ever all that came of a work; the price is
that what stands before such a record in its work is done twice, once for each record that fails.

A wait is between a half and all of what the policy says. Counting begins anew with another leader, with other code, and
after a pause.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cluster.errors import TriesLeft
from cluster.processing.work import Fired, Work

NS_PER_S = 1_000_000_000
WHY_CHARS_MAX = 1_000
Place = tuple[int, int]
"""An input's number, and a partition."""


class Retry(NamedTuple):
    """A record, or a timer (`offset` -1), that has failed so often; its turn is at `due_s` of the monotonic clock."""

    offset: int
    failures: int
    due_s: float
    why: str
    traceback: str


class Retrying:
    """Of one task."""

    def __init__(self) -> None:
        self._records: dict[Place, Retry] = {}
        self._timer: tuple[Fired, Retry] | None = None

    def failed(self, work: Work, error: TriesLeft, now_s: float, chance: float) -> None:
        """The work was given up. `chance`: from 0 to 1, drawn for this."""
        said = error.metadata
        wait_s = int(said["wait_ns"]) / NS_PER_S * (0.5 + 0.5 * chance)
        retry = Retry(
            offset=int(said.get("offset", -1)),
            failures=int(said["failures"]),
            due_s=now_s + wait_s,
            why=error.message[:WHY_CHARS_MAX],
            traceback=said.get("traceback", ""),
        )
        if "fired" in said:
            self._timer = (work.fired[int(said["fired"])], retry)
        else:
            self._records[int(said["input"]), int(said["partition"])] = retry

    def passed(self, work: Work) -> None:
        """The work was done, and what was in it need not be tried again."""
        for batch in work.batches:
            held = self._records.get((batch.input, batch.partition))
            if held is not None and held.offset < batch.end:
                del self._records[batch.input, batch.partition]
        if self._timer is not None and self._timer[0] in work.fired:
            self._timer = None

    @property
    def held(self) -> Mapping[Place, Retry]:
        """Partitions of which nothing is taken from the record on, but that record alone, in its turn."""
        return self._records

    @property
    def timer(self) -> tuple[Fired, Retry] | None:
        """While there is one nothing is done but that, in its turn."""
        return self._timer

    def wait_s(self, now_s: float) -> float | None:
        """From then until it is something's turn; None: nothing waits for its time."""
        dues = [retry.due_s for retry in self._all() if retry.due_s > now_s]
        return min(dues) - now_s if dues else None

    @property
    def count(self) -> int:
        """So many wait, or are being tried."""
        return len(self._all())

    def told(self, now_s: float) -> tuple[str, str]:
        """What waits, in a sentence, and the traceback of the first; both empty: nothing does."""
        waiting = sorted(self._all(), key=lambda retry: retry.due_s)
        if not waiting:
            return "", ""
        first = waiting[0]
        times = "once" if first.failures == 1 else f"{first.failures} times"
        when = f"in {first.due_s - now_s:.1f} s" if first.due_s > now_s else "now"
        more = f"; {len(waiting) - 1} more wait for their next attempt" if len(waiting) > 1 else ""
        return f"{first.why} ({times} so far, tried again {when}{more})", first.traceback

    def _all(self) -> list[Retry]:
        return [*self._records.values(), *([self._timer[1]] if self._timer is not None else [])]
