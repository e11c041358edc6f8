"""`python -m tests.processing.sim`: batches of seeds, planted bugs, and one seed again.

python -m tests.processing.sim --seeds 2000 [--from 1] [--jobs 2]   exit 1 at the first failure, or if a counter is zero
python -m tests.processing.sim --bug all --seeds 2000               the table: bug, seed that found it, CPU seconds
python -m tests.processing.sim --replay 17 [--bug NAME]             that seed, its mix and its verdict
"""

import argparse
import sys
import traceback

from tests.processing.sim.batch import Total, find, run_seeds
from tests.processing.sim.mix import RARE, SOMETIMES
from tests.processing.sim.planted import BUGS, RIGHT
from tests.processing.sim.world import World


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.processing.sim", description="A task's commits under seeds.")
    parser.add_argument("--seeds", type=int, default=200, help="how many (for planted bugs: at most)")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--bug", default="", help=f"plant this bug: all, or one of {', '.join(BUGS)}")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed again")
    options = parser.parse_args(arguments)
    if options.bug not in {"", "all", *BUGS}:
        parser.error(f"no planted bug is called {options.bug}")
    if options.replay is not None:
        return replay(options.replay, options.bug)
    if options.bug:
        names = list(BUGS) if options.bug == "all" else [options.bug]
        return table(names, seeds_max=options.seeds, jobs=options.jobs)
    return batch(options.first, options.seeds, jobs=options.jobs)


def batch(first: int, seeds: int, *, jobs: int) -> int:
    """Run seeds until one fails, and say what happened."""
    total = Total()
    for outcome in run_seeds(range(first, first + seeds), jobs=jobs):
        total.add(outcome)
        if outcome.failure:
            print(summary(total))
            print(f"\nseed {outcome.seed} failed: {outcome.failure}\nrepeat it: {outcome.repeat()}")
            return 1
    print(summary(total))
    if total.never:
        print(f"\nnever happened, so nothing is known about it: {', '.join(total.never)}")
        return 1
    return 0


def summary(total: Total) -> str:
    """Figures of a batch."""
    head = (
        f"{total.seeds} seeds, {total.steps:,} steps, {total.counts['commits_accepted']:,} commits, "
        f"{total.counts['batches_appended']:,} batches appended, {total.cpu_s:.1f} CPU s, "
        f"{len(total.failures)} failures"
    )
    lines = [f"  {total.counts[name]:>9,}  {name.replace('_', ' ')}" for name in (*SOMETIMES, *RARE)]
    return "\n".join([head, *lines])


def table(names: list[str], *, seeds_max: int, jobs: int) -> int:
    """Which seed finds each bug."""
    missed = []
    print(f"{'planted bug':24} {'seed':>6} {'CPU s':>7}   what was seen")
    for name in names:
        outcome, total = find(name, seeds_max=seeds_max, jobs=jobs)
        if outcome is None:
            missed.append(name)
        seen, seed = (outcome.failure, str(outcome.seed)) if outcome is not None else ("NOT FOUND", "-")
        print(f"{name:24} {seed:>6} {total.cpu_s:>7.1f}   {seen[:110]}", flush=True)
    if missed:
        print(f"\nnot found within {seeds_max} seeds: {', '.join(missed)}")
        return 1
    return 0


def replay(seed: int, bug: str) -> int:
    """The mix and the verdict, with where it was found."""
    world = World(seed, BUGS[bug] if bug else RIGHT)
    verdict, code = "everything held", 0
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  a broken assertion anywhere is a finding
        traceback.print_exc()
        verdict, code = f"{type(error).__name__}: {error}", 1
    print(world.mix)
    print(", ".join(f"{name} {count}" for name, count in sorted(world.counts.items())))
    print(f"\nseed {seed} after {world.steps} steps: {verdict}")
    return code


if __name__ == "__main__":
    sys.exit(main())
