"""Runs batches of seeds, on several processes if asked, and adds up what happened."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import process_time

from tests.processing.sim.mix import SOMETIMES
from tests.processing.sim.planted import ALONE, BESIDE, BUGS, RIGHT
from tests.processing.sim.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed came to."""

    seed: int
    failure: str
    """Empty if everything held."""
    steps: int
    cpu_s: float
    counts: Counter[str]

    def repeat(self, bug: str = "") -> str:
        """The one line that shows it again."""
        planted = f" --bug {bug}" if bug else ""
        return f"python -m tests.processing.sim --replay {self.seed}{planted}"


@dataclass(slots=True)
class Total:
    """What a batch came to."""

    seeds: int = 0
    steps: int = 0
    cpu_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One seed more."""
        self.seeds += 1
        self.steps += outcome.steps
        self.cpu_s += outcome.cpu_s
        self.counts += outcome.counts
        if outcome.failure:
            self.failures.append(outcome)

    @property
    def never(self) -> list[str]:
        """What must happen sometimes and did not."""
        return [name for name in SOMETIMES if not self.counts[name]]


def run_seed(seed: int, *, bug: str = "") -> Outcome:
    """One world from its beginning to its end, or to the first thing that must not be."""
    began = process_time()
    world = World(seed, BUGS[bug] if bug else RIGHT)
    failure = ""
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  a broken assertion anywhere is a finding
        failure = f"{type(error).__name__}: {error}"
    return Outcome(seed, failure, world.steps, process_time() - began, world.counts)


def run_seeds(seeds: Iterable[int], *, bug: str = "", jobs: int = 1) -> Iterator[Outcome]:
    """Outcomes in the order of the seeds."""
    run = partial(run_seed, bug=bug)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def find(bug: str, *, seeds_max: int, jobs: int = 1) -> tuple[Outcome | None, Total]:
    """The first seed from 1 that finds a planted bug, and that bug alone; None if there is none up to `seeds_max`."""
    total = Total()
    for outcome in run_seeds(range(1, seeds_max + 1), bug=bug, jobs=jobs):
        total.add(outcome)
        if outcome.failure and not (bug in BESIDE and run_seed(outcome.seed, bug=ALONE).failure):
            return outcome, total
    return None, total
