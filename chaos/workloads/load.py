"""What the clients of one log-like workload share: its plan, its history, what they have counted, and when to stop."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from chaos.arenas.arena import Arena
from chaos.history import History, Kind
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import Outcome, RiverrunError
from cluster.metadata import TopicConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlan:
    """What a scenario can set. Times in seconds."""

    topic: str = ""
    """"": called as the workload is."""
    partitions: int = 6
    replicas: int = 3
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Of the topic: fields of `cluster.metadata.TopicConfig`."""
    producers: int = 3
    appenders: int = 1
    """Who appends on condition of the end, one record after the other."""
    readers: int = 2
    rate_per_s: float = 0.0
    """Records that all producers send together; 0: each sends up to six, and waits for up to `think_s`."""
    think_s: float = 1.0
    linger_s: float = 0.005
    in_flight_max: int = 200
    """Of one producer: records that it waits for."""
    delivery_timeout_s: float = 200.0
    """A send fails that long after it began: longer than any fault, so that few outcomes stay unknown."""
    no_failures: bool = False
    """Producers have a client's own deadline, and each publish that fails is an anomaly."""
    read_timeout_s: float = 20.0
    keys: int = 12
    deletes_every_s: float = 0.0
    """Somebody deletes the beginning of a partition so often; 0: never."""
    remakes: str = ""
    """Somebody makes a topic of this name and deletes it, over and over; "": nobody."""
    verified: int = 5
    """Records of each partition whose copies are looked at on all disks at the end."""
    clocks_ahead_s: float = 0.0
    """The most that faults may set nodes' clocks ahead, all together: so much earlier a tombstone may go."""
    group: str = ""
    """"": called after the topic."""
    members: int = 0
    """Seats in a group."""
    life_s_max: float = 20.0
    """The longest that a member stays, unless it is cut off."""
    cut_off: float = 0.0
    """How likely a member is cut off from all nodes once, mostly for longer than its grace, and commits late."""

    @property
    def config(self) -> TopicConfig:
        """The topic's limits."""
        return TopicConfig(**self.limits)

    @property
    def producer_options(self) -> ClientOptions:
        """Of each producer's client."""
        options = ClientOptions(linger_s=self.linger_s)
        return options if self.no_failures else replace(options, delivery_timeout_s=self.delivery_timeout_s)

    @property
    def has_retention(self) -> bool:
        """Whether the topic's limits delete records."""
        return self.config.retention_ms is not None or self.config.retention_bytes is not None

    @property
    def is_compacted(self) -> bool:
        """Whether only the newest record of each key is kept."""
        return bool(self.config.compacted)

    @property
    def tombstone_s(self) -> float | None:
        """How long a tombstone is sure to stay, though clocks may be set ahead; None: it may go at once."""
        life_ms = self.config.tombstone_life_ms
        certain_s = life_ms / 1000 - self.clocks_ahead_s if life_ms is not None else 0.0
        return certain_s if certain_s > 0 else None

    @classmethod
    def of(cls, *options: Mapping[str, Any]) -> "LogPlan":
        """From options, the later ones first. ValueError: there is no such option."""
        merged = {name: value for some in options for name, value in some.items()}
        unknown = sorted(merged.keys() - {item.name for item in fields(cls)})
        if unknown:
            raise ValueError(f"the workload has no option {', '.join(unknown)}")
        return cls(**merged)

    def to_options(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Load:
    """All clients of one workload; each goes on until `stopping`."""

    def __init__(self, arena: Arena, history: History, plan: LogPlan, name: str) -> None:
        self.arena = arena
        self.history = history
        self.plan = plan
        self.name = name
        self.topic = plan.topic or name
        self.random: random.Random = arena.random
        self.counts: Counter[str] = Counter()
        """What happened: `sent`, `acknowledged` and the like."""
        self.stopping = False
        self._under_way: dict[str, dict[int, str]] = {}
        """By process, its operations that have no outcome yet, with their names."""
        self._gone: set[str] = set()
        """Processes whose clients have vanished."""

    def client(self, process: str, options: ClientOptions | None = None) -> Client:
        """One on a place of its own, that is called as its process is, and as the workload."""
        return self.arena.client(self.place(process), options)

    def place(self, process: str) -> str:
        """Where the clients of a process are."""
        return f"{self.name}-{process}"

    def invoke(self, process: str, name: str, **value: Any) -> int:
        """An operation begins; its number."""
        operation = self.history.invoke(process, name, self.arena.now_s(), **value)
        self._under_way.setdefault(process, {})[operation] = name
        return operation

    def ok(self, operation: int, process: str, name: str, **value: Any) -> None:
        """It is done."""
        self._end(operation, process, Kind.OK, name, value)

    def ended(
        self,
        operation: int,
        process: str,
        name: str,
        error: RiverrunError | TimeoutError,
        *,
        unsure: bool = False,
        **value: Any,
    ) -> None:
        """It was not done, or nobody knows. `unsure`: whatever the error says."""
        known = isinstance(error, RiverrunError) and error.outcome is not Outcome.UNKNOWN and not unsure
        kind = Kind.FAIL if known else Kind.INFO
        reason = error.reason if isinstance(error, RiverrunError) else "TIMEOUT"
        self._end(operation, process, kind, name, {"error": reason, **value})

    def _end(self, operation: int, process: str, kind: Kind, name: str, value: Mapping[str, Any]) -> None:
        if process not in self._gone:  # else nobody is there to say it
            self._under_way.get(process, {}).pop(operation, None)
            self.history.end(operation, process, kind, name, self.arena.now_s(), **value)

    def vanished(self, process: str) -> None:
        """Its client is gone: nobody will ever know what became of what it had under way."""
        self._gone.add(process)
        self.counts["vanished"] += 1
        now_s = self.arena.now_s()
        self.history.end(0, process, Kind.OK, "vanish", now_s)
        for operation, name in self._under_way.pop(process, {}).items():
            self.history.end(operation, process, Kind.INFO, name, now_s, error="VANISHED")

    async def think(self, seconds_min: float, seconds_max: float) -> None:
        """Wait for a time between the two."""
        await asyncio.sleep(self.random.uniform(seconds_min, seconds_max))
