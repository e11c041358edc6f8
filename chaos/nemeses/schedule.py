"""What will go wrong and when: drawn from a seed before a run, saved with its history, and done again by `replay`."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.nemeses.catalogue import CATALOGUE

QUIET_SHARE = 0.12
"""Of a run, at its beginning and at its end: nothing goes wrong, so that there is something to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One fault. Times in seconds since the run's load began."""

    at_s: float
    fault: str
    role: str
    lasts_s: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All of a run's faults, by their times."""

    seed: int
    faults: Sequence[Planned]

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps({"seed": self.seed, "faults": [asdict(planned) for planned in self.faults]}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        """A saved one."""
        plain = json.loads(text)
        return cls(plain["seed"], [Planned(**planned) for planned in plain["faults"]])


def draw_schedule(
    seed: int,
    names: Iterable[str],
    *,
    seconds: float,
    every_s: float,
    overlap: bool = False,
    quiet_share: float = QUIET_SHARE,
) -> Schedule:
    """Faults of these names over so many seconds, one in `every_s` on average, none in the quiet share at both ends.

    Without `overlap` one is over before the next begins; with it up to two last at a time.
    """
    chance = random.Random(f"schedule/{seed}")
    names = sorted(names)
    faults: list[Planned] = []
    at_s, last_s = quiet_share * seconds, (1 - quiet_share) * seconds
    while names:
        at_s += chance.uniform(0.4, 1.6) * every_s
        kind = CATALOGUE[chance.choice(names)]
        lasts_s = chance.uniform(*kind.lasts_s)
        if at_s + lasts_s > last_s:
            break
        planned = Planned(
            at_s=round(at_s, 3),
            fault=kind.name,
            role=chance.choice(kind.roles),
            lasts_s=round(lasts_s, 3),
            options=kind.draw(chance),
        )
        faults.append(planned)
        at_s += lasts_s / 2 if overlap else lasts_s
    return Schedule(seed, faults)
