"""The program around seeds of whole clusters: a batch, one seed again, and the table of planted bugs.

The order of sets depends on the hash seed, so the program starts itself again with a fixed one: a seed is the same run
everywhere, with the same commit.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from chaos.arenas.sim.swarm.seen import Seen
from chaos.running import commit
from chaos.seeds import quiet

LARGE = 100
TOLD_EVERY = 50
"""Seeds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Program:
    """`module`: what `python -m` runs. `run`: a seed, with a planted bug or "". `sometimes`: must happen in a batch."""

    module: str
    about: str
    run: Callable[[int, str], Seen]
    bugs: tuple[str, ...]
    sometimes: tuple[str, ...]


def one(run: Callable[[int, str], Seen], seed: int, bug: str = "") -> tuple[int, Seen | None, str]:
    """A seed in a process of its own."""
    quiet()
    began_s = time.process_time()
    try:
        seen = run(seed, bug)
    except Exception as error:  # noqa: BLE001  whatever it is, the seed has failed
        return seed, None, f"{type(error).__name__}: {error}"
    seen.cpu_s = time.process_time() - began_s
    return seed, seen, ""


def main(program: Program) -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {program.module}", description=program.about)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--from", dest="first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replay", type=int)
    parser.add_argument("--bug", default="", choices=["", "all", *program.bugs], help="plant it, and look for it")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", program.module, *sys.argv[1:]])
    if options.replay is not None:
        return replay(program, options.replay, options.bug)
    if options.bug:
        return table(program, program.bugs if options.bug == "all" else [options.bug], options.seeds, options.jobs)
    start = time.monotonic()  # noqa: TID251  how long people waited
    total, began_at = Seen(), commit()
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for seed, seen, failure in pool.map(partial(one, program.run), seeds):
            if seen is None:
                print(f"seed {seed} failed: {failure}\nrepeat it: python -m {program.module} --replay {seed}")
                pool.shutdown(cancel_futures=True)
                return 1
            total.add(seen)
            if seed % TOLD_EVERY == 0:
                told = f"{total.virtual_s / 3600:.2f} whole-cluster hours, {total.acknowledged:,} acknowledged"
                print(f"… {seed}: {told}, no failure", file=sys.stderr, flush=True)
    took_s = time.monotonic() - start  # noqa: TID251
    return verdict(program, total, began_at, options.first, len(seeds), took_s)


def table(program: Program, bugs: Sequence[str], seeds: int, jobs: int) -> int:
    """Which seed finds each planted bug."""
    print(f"{'planted bug':24} {'seed':>5}   what was seen")
    missed = 0
    for bug in bugs:
        found = 0, f"NOT FOUND within {seeds} seeds"
        with ProcessPoolExecutor(jobs) as pool:
            for seed, seen, failure in pool.map(partial(one, program.run, bug=bug), range(1, seeds + 1)):
                if seen is None:
                    found = seed, failure
                    pool.shutdown(wait=False, cancel_futures=True)
                    break
        missed += not found[0]
        print(f"{bug:24} {found[0] or '-':>5}   {found[1][:120]}", flush=True)
    return 1 if missed else 0


def replay(program: Program, seed: int, bug: str = "") -> int:
    """One seed, told."""
    _, seen, failure = one(program.run, seed, bug)
    print(failure or f"seed {seed} is good: {seen}")
    return 1 if failure else 0


def _addition(program: Program, total: Seen, began_at: str, first: int, seeds: int) -> str:
    """The command that adds a batch to the figures."""
    options = [f"--operation {name} {count}" for name, count in sorted(total.operations.items())]
    return (
        f'python -m chaos.report.figures add-seeds cluster --what "python -m {program.module}" --first {first} '
        f"--seeds {seeds} --hours {total.virtual_s / 3600:.3f} --cpu-minutes {total.cpu_s / 60:.1f} "
        f"--commits {began_at} --anomalies 0 {' '.join(options)}"
    )


def verdict(program: Program, total: Seen, began_at: str, first: int, seeds: int, took_s: float) -> int:
    """The summary; the exit code."""
    faults = sum(count for name, count in total.counts.items() if name.startswith("fault_"))
    print(
        f"{seeds} seeds, 0 failures: {total.virtual_s / 3600:.2f} whole-cluster hours in {took_s:.0f} s "
        f"({total.rate:.3f} for each of {total.cpu_s / 60:.1f} CPU minutes), "
        f"{total.sent:,} sends, {total.acknowledged:,} acknowledged, {faults} faults, "
        f"{total.counts['elections']} elections, {total.counts['turns']:,} turns checked"
    )
    counts = Counter({name: total.counts[name] for name in program.sometimes})
    if total.operations:
        print(_addition(program, total, began_at, first, seeds))
    print("sometimes: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    never = [name for name, count in counts.items() if not count]
    if never and seeds >= LARGE:
        print(f"never happened, so nothing was learned about it: {', '.join(never)}")
        return 1
    return 0
