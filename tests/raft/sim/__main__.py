"""`python -m tests.raft.sim`: batches of seeds, planted bugs, and one seed again with its trace.

python -m tests.raft.sim --seeds 2000 [--from 1] [--jobs 2]     exit 1 at the first failure, or if a counter is zero
python -m tests.raft.sim --seeds 50000 --compiled               the same in less than half the time
python -m tests.raft.sim --bug all --seeds 5000                 the table: bug, seed that found it, CPU seconds
python -m tests.raft.sim --replay 17 [--bug NAME]               the end of that seed's trace
"""

import argparse
import sys

from cluster.raft import Raft
from tests.raft.sim import compiled
from tests.raft.sim.batch import Total, find, run_seeds
from tests.raft.sim.planted import BUGS, CLASSICS
from tests.raft.sim.swarm import SOMETIMES
from tests.raft.sim.world import World


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.raft.sim", description="Raft under seeds.")
    parser.add_argument("--seeds", type=int, default=200, help="how many (for planted bugs: at most)")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--compiled", action="store_true", help="compile core and swarm first, for long runs")
    parser.add_argument("--bug", default="", help=f"plant this bug: all, or one of {', '.join(BUGS)}")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed again and print its trace's end")
    parser.add_argument("--lines", type=int, default=60, help="of the trace")
    options = parser.parse_args(arguments)
    if options.bug not in {"", "all", *BUGS}:
        parser.error(f"no planted bug is called {options.bug}")
    if options.compiled and (options.bug or options.replay is not None):
        parser.error("planted bugs and traces are not compiled")
    if options.compiled:
        compiled.run([argument for argument in arguments or sys.argv[1:] if argument != "--compiled"])
    if options.replay is not None:
        return replay(options.replay, options.bug, options.lines)
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
    rate = total.virtual_hours / (total.cpu_s / 60) if total.cpu_s else 0
    head = (
        f"{total.seeds} seeds, {total.virtual_hours:.2f} raft-group hours ({rate:.1f} per CPU minute), "
        f"{total.events:,} events, {total.counts['messages']:,} messages, {total.counts['acknowledged']:,} commands "
        f"acknowledged, {total.cpu_s:.1f} CPU s, {len(total.failures)} failures"
    )
    lines = [f"  {total.counts[name]:>9,}  {name.replace('_', ' ')}" for name in SOMETIMES]
    return "\n".join([head, *lines])


def table(names: list[str], *, seeds_max: int, jobs: int) -> int:
    """Which seed finds each bug: by any check, and by its harm alone (no look at disks and promises)."""
    missed = []
    print(f"{'planted bug':30} {'seed':>6} {'CPU s':>7}   {'seed by harm':>12} {'CPU s':>7}   what was seen")
    for name in names:
        cells = []
        seen = "NOT FOUND"
        for obligations in (True, False):
            outcome, total = find(name, seeds_max=seeds_max, obligations=obligations, jobs=jobs)
            cells.append((str(outcome.seed) if outcome else "-", total.cpu_s))
            if outcome:
                seen = outcome.failure
            elif obligations or name in CLASSICS:
                missed.append(name)
        (seed, cpu), (harm, harm_cpu) = cells
        print(f"{name:30} {seed:>6} {cpu:>7.1f}   {harm:>12} {harm_cpu:>7.1f}   {seen[:100]}", flush=True)
    if missed:
        print(f"\nnot found within {seeds_max} seeds: {', '.join(dict.fromkeys(missed))}")
        return 1
    return 0


def replay(seed: int, bug: str, lines: int) -> int:
    """The mix, the end of the trace, and the verdict."""
    world = World(seed, core=BUGS[bug] if bug else Raft, trace=True)
    verdict, code = "everything held", 0
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  a broken assertion anywhere is a finding
        verdict, code = f"{type(error).__name__}: {error}", 1
    print(world.mix, "\n")
    for line in list(world.trace or ())[-lines:]:
        print(line)
    print(f"\nseed {seed} after {world.now / 1e6:.3f} virtual s, {world.events} events: {verdict}")
    return code


if __name__ == "__main__":
    sys.exit(main())
