"""What seeds did, to be added up."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What a seed did."""

    acknowledged: int = 0
    sent: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    cpu_s: float = field(default=0.0, repr=False, compare=False)
    """What it cost; all else is the same every time."""
    operations: Counter[str] = field(default_factory=Counter)
    """Of the history, by their outcomes."""
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Virtual hours for a minute of one processor."""
        return self.virtual_s / self.cpu_s / 60 if self.cpu_s else 0.0

    def add(self, other: "Seen") -> None:
        """Sum over seeds."""
        self.acknowledged += other.acknowledged
        self.sent += other.sent
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.cpu_s += other.cpu_s
        self.operations.update(other.operations)
        self.counts.update(other.counts)
