"""What a run is made of: workloads with their options, faults, how many nodes and how long."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chaos.nemeses import known  # noqa: F401  all faults are registered with it
from chaos.nemeses.catalogue import CATALOGUE, families


class UnknownWord(Exception):
    """There is no such workload, fault or family; the message names those that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run without its seed. `faults` are names of the catalogue; times in seconds."""

    name: str
    about: str = ""
    workloads: Mapping[str, Mapping[str, Any]]
    """By name, with the options that differ from the workload's own."""
    faults: tuple[str, ...] = ()
    nodes: int = 3
    seconds: float = 60.0
    until: str = ""
    """The workload that has an end of its own, if one has: when it has come to it, the time is over."""
    every_s: float = 6.0
    """Between faults, on average."""
    overlap: bool = False
    """Up to two faults at a time; then a minority may become a majority, and nothing is said of progress meanwhile."""

    frugal: bool = False
    """Simulated, its nodes keep few partitions of their own and look at them half as often: for many seeds."""

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Scenario":
        """A saved one."""
        plain = json.loads(text)
        return cls(**(plain | {"faults": tuple(plain["faults"])}))


def faults_named(words: Iterable[str]) -> tuple[str, ...]:
    """Faults by their names or their families' names. UnknownWord."""
    found: set[str] = set()
    groups = families()
    for word in words:
        if word in CATALOGUE:
            found.add(word)
        elif word in groups:
            found.update(groups[word])
        else:
            there_are = ", ".join([*sorted(groups), *sorted(CATALOGUE)])
            raise UnknownWord(f"there is no fault or family of faults called {word!r}; there are: {there_are}")
    return tuple(sorted(found))
