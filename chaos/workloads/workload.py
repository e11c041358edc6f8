"""The contract of a workload: what clients do in a run, and how a history of it is judged.

A workload knows its arena, its history and the options of its scenario, and nothing of who runs where. Operations go
into the history as they begin and end (`chaos.history`): `fail` is what was definitely not done; an error whose outcome
is unknown (`error.outcome is Outcome.UNKNOWN`, time-outs, cancellations) is `info`. Several workloads may share a run:
each has topics, groups and apps of its own, named after it, and a history with its name as `scope`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, History


class Workload(Protocol):
    """One kind of load. Made for one run."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]]
    """What can be set, and to what it is set unless a scenario says otherwise; JSON values."""

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None: ...

    @property
    def topics(self) -> Sequence[str]:
        """Those whose replicas are compared at the end: each becomes an event `copy` in this workload's history."""
        ...

    async def prepare(self) -> None:
        """Topics and whatever else has to be there; before the first fault."""
        ...

    async def run(self) -> None:
        """Clients at work, until `stop` was called and what is under way has an outcome (within a bound)."""
        ...

    def stop(self) -> None:
        """No more operations begin."""
        ...

    async def finish(self) -> None:
        """Everything is healed: read what there is with fresh clients, into the history, as process `final`."""
        ...

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """Everything that is wrong with a history, from it alone."""
        ...
