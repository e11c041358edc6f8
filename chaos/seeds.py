"""Many seeds of a scenario in virtual time, without folders; what a batch says can go into the figures.

A seed is the run that `python -m chaos run SCENARIO --arena sim --seed N` makes, with all its files.
"""

import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import structlog

from chaos.checkers.changes import STEPS
from chaos.history import History, Kind
from chaos.running import commit, simulate_scenario
from chaos.scenario import Scenario

OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class SeedDone:
    """One seed. `found`: its anomalies and why it broke off, in sentences."""

    seed: int
    seconds: float
    cpu_s: float
    found: Sequence[str]
    operations: Counter[str]
    faults: Counter[str]
    steps: Counter[str]
    """An operator's, that were done."""
    longest: tuple[str, float, float] | None


@dataclass
class Batch:
    """The sum."""

    scenario: str
    commit: str = field(default_factory=commit)
    """When it began."""
    seeds: list[int] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    anomalies: int = 0
    bad: list[int] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    longest: tuple[float, int, str] = (0.0, 0, "")
    """Seconds without an acknowledgement, of which seed, of which partition."""

    def add(self, done: SeedDone) -> None:
        """One more."""
        self.seeds.append(done.seed)
        self.seconds += done.seconds
        self.cpu_s += done.cpu_s
        self.anomalies += len(done.found)
        self.bad += [done.seed] if done.found else []
        for mine, its in ((self.operations, done.operations), (self.faults, done.faults), (self.steps, done.steps)):
            mine.update(its)
        if done.longest is not None:
            self.longest = max(self.longest, (done.longest[2], done.seed, done.longest[0]))

    def summary(self) -> str:
        """A few lines, and the command that adds them to the figures."""
        first, last = min(self.seeds), max(self.seeds)
        hours, minutes = self.seconds / 3600, self.cpu_s / 60
        seconds, seed, partition = self.longest
        lines = [
            f"{self.scenario}, seeds {first}-{last} at {self.commit}: {len(self.seeds)} runs, {hours:.2f} simulated "
            f"hours, {minutes:.1f} CPU minutes, {self.anomalies} anomalies"
            + (f" in seeds {', '.join(map(str, self.bad))}" if self.bad else ""),
            f"steps: {_told(self.steps) or 'none'}",
            f"operations: {_told(self.operations)}",
            f"faults: {_told(self.faults) or 'none'}",
            f"longest without an acknowledgement: {partition} for {seconds:.1f} s in seed {seed}",
        ]
        options = [f"--operation {name} {count}" for name, count in sorted(self.operations.items())]
        options += [f"--fault {name} {count}" for name, count in sorted(self.faults.items())]
        add = (
            f'python -m chaos.report.figures add-seeds cluster --what "python -m chaos seeds {self.scenario}" '
            f"--first {first} --seeds {len(self.seeds)} --hours {hours:.3f} --cpu-minutes {minutes:.1f} "
            f"--commits {self.commit} --anomalies {self.anomalies} {' '.join(options)}"
        )
        return "\n".join([*lines, add])


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def quiet() -> None:
    """Nodes of a simulation say nothing: what is wrong with one, the run tells."""
    sys.unraisablehook = lambda _: None  # what one that was dropped would have said when it was collected
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), processors=[_say_nothing]
    )


def _say_nothing(*_: object) -> NoReturn:
    raise structlog.DropEvent


def run_one(scenario: Scenario, seed: int) -> SeedDone:
    """One, in this process."""
    history = History()
    began_s = time.process_time()
    verdict = simulate_scenario(scenario, seed, history)
    cpu_s = time.process_time() - began_s
    ended = (event for event in history.events if event.scope == OPERATIONS and event.kind is Kind.OK)
    done = (event.name for event in ended if event.name in STEPS)
    found = [f"{workload}: {anomaly.name}: {anomaly.detail}" for workload, anomaly in verdict.anomalies]
    gc.collect()
    return SeedDone(
        seed=seed,
        seconds=verdict.seconds,
        cpu_s=cpu_s,
        found=[*found, *([f"it broke off: {verdict.failure}"] if verdict.failure else [])],
        operations=Counter(verdict.operations),
        faults=Counter(verdict.faults),
        steps=Counter(done),
        longest=verdict.longest,
    )


def run_seeds(scenario: Scenario, seeds: Sequence[int], *, jobs: int) -> Iterator[SeedDone]:
    """Each as soon as it and all before it are done."""
    if jobs == 1:
        quiet()
        yield from (run_one(scenario, seed) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs, initializer=quiet) as pool:
        yield from pool.map(partial(run_one, scenario), seeds)
