"""`python -m tests.raft.sim --seeds N [--from 1] [--bug NAME|all]`: raft-only seeds, and how many find a planted bug.

`--replay SEED` prints the end of one run's trace. A failure prints the line that repeats it.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from cluster.raft import Raft
from tests.raft.sim.planted import BUGS
from tests.raft.sim.swarm import SECOND, SOMETIMES
from tests.raft.sim.world import World

BUG_SEEDS_MAX = 5_000
LARGE = 300


def one(seed: int) -> tuple[int, dict[str, int], int, str]:
    """A seed: what happened in it, its virtual microseconds, and what went wrong."""
    try:
        world = World(seed).run()
    except Exception as error:  # noqa: BLE001  whatever it is, the seed has failed
        return seed, {}, 0, f"{type(error).__name__}: {error}"
    return seed, dict(world.counts), world.now, ""


def hunt(name: str) -> tuple[str, int | None, str, float]:
    """The first seed from 1 on that finds a planted bug, what it says, and the CPU seconds it took."""
    start = time.process_time()
    core: type[Raft] = BUGS[name]
    for seed in range(1, BUG_SEEDS_MAX + 1):
        try:
            World(seed, core=core).run()
        except Exception as error:  # noqa: BLE001  found
            return name, seed, f"{type(error).__name__}: {error}", time.process_time() - start
    return name, None, "", time.process_time() - start


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description="Raft-only seeds in virtual time.")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--from", dest="first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bug", choices=[*BUGS, "all"])
    parser.add_argument("--replay", type=int)
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.raft.sim", *sys.argv[1:]])
    if options.replay is not None:
        return replay(options.replay)
    with ProcessPoolExecutor(options.jobs) as pool:
        if options.bug:
            return table(list(pool.map(hunt, BUGS if options.bug == "all" else [options.bug])))
        counts: Counter[str] = Counter()
        virtual = 0
        start = time.monotonic()  # noqa: TID251  how long people waited
        for seed, seen, micros, failure in pool.map(
            one, range(options.first, options.first + options.seeds), chunksize=8
        ):
            if failure:
                print(f"seed {seed} failed: {failure}\nrepeat it: python -m tests.raft.sim --replay {seed}")  # noqa: T201
                pool.shutdown(cancel_futures=True)
                return 1
            counts.update(seen)
            virtual += micros
        took_s = time.monotonic() - start  # noqa: TID251
    print(f"{options.seeds} seeds, 0 failures: {virtual / SECOND / 3600:.2f} virtual hours in {took_s:.0f} s")  # noqa: T201
    print(", ".join(f"{name} {counts[name]}" for name in sorted(counts)))  # noqa: T201
    never = [name for name in SOMETIMES if not counts[name]]
    if never and options.seeds >= LARGE:
        print(f"never happened, so nothing was learned about it: {', '.join(never)}")  # noqa: T201
        return 1
    return 0


def table(found: list[tuple[str, int | None, str, float]]) -> int:
    """Bug, seeds to find it; the exit code."""
    for name, seed, what, cpu_s in found:
        says = f"found by seed {seed}: {what[:80]}" if seed else f"not found in {BUG_SEEDS_MAX} seeds"
        print(f"{name:30} {cpu_s:7.1f} CPU s  {says}")  # noqa: T201
    return 0 if all(seed for _, seed, _, _ in found) else 1


def replay(seed: int) -> int:
    """One seed with its trace's end."""
    world = World(seed, trace=True)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  that is what we came for
        print(*world.trace[-200:], f"{type(error).__name__}: {error}", sep="\n")  # noqa: T201
        return 1
    print(f"seed {seed} is good: {dict(sorted(world.counts.items()))}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
