"""Sources and sinks in memory, for `App.test`: what is said to have come, and what was delivered.

They keep what they promise: a task that crashes captures again from its cursor, and delivers again from its position,
or from where an exactly-once destination says that it is.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from cluster.connectors.contract import Arrival, Arrived, Delivery, Guarantee, Position, Progress

T = TypeVar("T")


class RehearsedSource:
    """All that has come of a source; see `Come` for what a runner sees of it, from a cursor on."""

    def __init__(self) -> None:
        self.records: list[Arrival] = []

    def opened(self, cursor: bytes | None) -> "RehearsedInflow":
        """From there on."""
        return RehearsedInflow(self.records, int(cursor or b"0"))


class RehearsedInflow:
    """See Come."""

    trouble = ""

    def __init__(self, records: Sequence[Arrival], at: int) -> None:
        self._records = records
        self._at = at

    @property
    def is_ready(self) -> bool:
        """See Come."""
        return self._at < len(self._records)

    def progress(self) -> Progress | None:
        """See Come: it has no end."""

    def take(self, records_max: int) -> list[Arrived]:
        """See Come."""
        records = self._records[self._at : self._at + records_max]
        self._at += len(records)
        return [Arrived(records=records, cursor=b"%d" % self._at)] if records else []

    def committed(self, cursor: bytes) -> None:
        """See Come: nobody has to know."""

    def close(self) -> None:
        """See Come."""


class RehearsedSink:
    """See Sink. `delivered`: in the order in which it came."""

    def __init__(self, guarantee: Guarantee) -> None:
        self.delivered: list[Delivery] = []
        self._keeps = guarantee is Guarantee.EXACTLY_ONCE
        self._positions: dict[str, int] = {}

    async def last_position(self, lane: str) -> int | None:
        """See Sink."""
        return self._positions.get(lane)

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink."""
        self.delivered += batch
        if self._keeps:
            self._positions[position.lane] = position.end
        return True

    async def settle(self) -> None:
        """See Sink: nothing is held."""

    async def close(self) -> None:
        """See Sink."""


class AtOnce:
    """See Waiting: what never waits is done in one step."""

    def wait(self, work: Coroutine[Any, Any, T], seconds_max: float, what: str) -> T:  # noqa: ARG002  it is done now
        """See Waiting."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("a rehearsed sink does not wait")

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], object]:  # noqa: ARG002  nothing is held
        """See Waiting."""
        return lambda: None
