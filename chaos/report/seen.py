"""What a run's history comes to so far, looked at while it is written: counts, rates, faults, leaders, waiting.

Windows without an acknowledgement are those of `chaos.report.unavailability`, but that nobody can know yet who will
never have an answer: a send counts as waiting for `GIVEN_UP_S` at most.
"""

from collections import deque
from dataclasses import dataclass, field

from chaos.checkers.liveness import IDLE_S
from chaos.history import Event, History, Kind
from chaos.report.run_folder import OUR_SCOPES
from chaos.report.sentences import some
from chaos.report.spans import Fault, faults

RATE_OVER_S = 5.0
"""How much of the run rates are over."""
EVENTS_SHOWN = 6
WORST_S_MIN = 0.5
"""What is shorter is no unavailability."""
GIVEN_UP_S = 60.0


@dataclass
class Seen:
    """A history, as far as it was looked at. Each look costs as much as there is of new events."""

    count: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys((Kind.OK, Kind.FAIL, Kind.INFO), 0))
    open_faults: dict[int, Fault] = field(default_factory=dict)
    injected: int = 0
    leaders: dict[str, int] = field(default_factory=dict)
    controller: int | None = None
    worst_s: float = 0.0
    worst_partition: str = ""
    last: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))
    """What happened, in words: faults, nodes, phases, leaders."""
    _next: int = 0
    _partitions: dict[int, str] = field(default_factory=dict)
    """Of sends under way."""
    _conditional: set[int] = field(default_factory=set)
    """Of these those on condition of the partition's end: a refusal is an answer."""
    _under_way: dict[str, dict[int, float]] = field(default_factory=dict)
    """Of each partition its sends, and when they began."""
    _since: dict[str, float] = field(default_factory=dict)
    """Since when somebody waits for each partition; where nobody does, it is not there."""
    _left_s: dict[str, float] = field(default_factory=dict)
    """When the last of those who waited in vain had its answer."""
    _recent: deque[tuple[float, Kind]] = field(default_factory=deque)

    def look(self, history: History) -> None:
        """Take in what is new."""
        events = history.events
        until = len(events)
        for place in range(self._next, until):
            self._take(events[place])
        self._next = until

    def rates(self, now_s: float) -> dict[Kind, float]:
        """A second, over the last few."""
        while self._recent and self._recent[0][0] < now_s - RATE_OVER_S:
            self._recent.popleft()
        over_s = max(0.5, min(RATE_OVER_S, now_s))
        kinds = [kind for _, kind in self._recent]
        return {kind: kinds.count(kind) / over_s for kind in self.count}

    def waiting(self, now_s: float) -> tuple[float, str]:
        """How long somebody waits for a partition by now, at most; for which one."""
        waits = [
            (now_s - since_s, partition)
            for partition, since_s in self._since.items()
            if self._anybody(partition, now_s)
        ]
        most_s, whose = max(waits, default=(0.0, ""))
        self._worst(most_s, whose)
        return most_s, whose

    def _anybody(self, partition: str, now_s: float) -> bool:
        """Whether a send is under way, but for those of clients that must have vanished."""
        return any(begun_s > now_s - GIVEN_UP_S for begun_s in self._under_way.get(partition, {}).values())

    def _worst(self, lasted_s: float, partition: str) -> None:
        if lasted_s > max(self.worst_s, WORST_S_MIN):
            self.worst_s, self.worst_partition = lasted_s, partition

    def _take(self, event: Event) -> None:
        if event.scope == "nemesis":
            self._fault(event)
        elif event.scope == "run":
            if event.kind is Kind.OK:
                self._of_the_run(event)
        elif event.scope not in OUR_SCOPES:
            self._operation(event)

    def _operation(self, event: Event) -> None:
        if event.kind is not Kind.INVOKE:
            self.count[event.kind] += 1
            self._recent.append((event.time_s, event.kind))
        if event.name == "send" and event.kind is Kind.INVOKE:
            self._send(event, f"{event.scope}/{event.value.get('partition')}")
        elif event.operation in self._partitions:
            self._answer(event, self._partitions.pop(event.operation))

    def _send(self, event: Event, partition: str) -> None:
        idle_s = event.time_s - self._left_s.get(partition, event.time_s)
        if partition not in self._since or (idle_s > IDLE_S and not self._anybody(partition, event.time_s)):
            self._since[partition] = event.time_s
        self._partitions[event.operation] = partition
        if event.value.get("expected_end") is not None:
            self._conditional.add(event.operation)
        self._under_way.setdefault(partition, {})[event.operation] = event.time_s

    def _answer(self, event: Event, partition: str) -> None:
        self._worst(event.time_s - self._since.get(partition, event.time_s), partition)
        del self._under_way[partition][event.operation]
        self._left_s[partition] = event.time_s
        conditional = event.operation in self._conditional
        self._conditional.discard(event.operation)
        if event.kind is Kind.OK or (event.kind is Kind.FAIL and conditional):
            self._since.pop(partition, None)
            if self._anybody(partition, event.time_s):
                self._since[partition] = event.time_s

    def _fault(self, event: Event) -> None:
        if event.kind is Kind.INVOKE:
            (fault,) = faults([event])
            self.open_faults[event.operation] = fault
            self.injected += 1
            self.last.append((event.time_s, f"{fault.name} {fault.target}"))
        elif (ended := self.open_faults.pop(event.operation, None)) is not None:
            how = "mended" if event.kind is Kind.OK else "could not be mended"
            self.last.append((event.time_s, f"{ended.name} {ended.target}: {how}"))

    def _of_the_run(self, event: Event) -> None:
        if event.name == "roles":
            leaders = {str(key): node for key, node in event.value.get("leaders", {}).items() if node is not None}
            moved = sum(1 for key, node in leaders.items() if key in self.leaders and self.leaders[key] != node)
            if moved:
                self.last.append((event.time_s, f"{some(moved, 'partition')} changed leaders"))
            self.leaders, self.controller = leaders, event.value.get("controller")
        elif event.name == "node":
            self.last.append((event.time_s, f"node {event.value.get('node')} {event.value.get('what')}"))
        else:
            self.last.append((event.time_s, event.name))
