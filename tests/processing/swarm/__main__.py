"""`python -m tests.processing.swarm --seeds N [--from 1]`: an app on whole clusters under faults, in virtual time.

`--replay SEED` runs one and prints its faults; `--bug all` plants bugs and counts the seeds until each is found.
"""

import sys

from chaos.arenas.sim.swarm.seen import Seen
from tests.processing.swarm.planted import BUGS, planted
from tests.processing.swarm.seed import run_seed
from tests.sim.program import Program, main

SOMETIMES = (
    "elections",
    "restart",
    "fault_crash",
    "fault_power_loss",
    "fault_cut",
    "fault_cut_one_way",
    "fault_isolate",
    "fault_pause",
    "fault_slow_disk",
    "fault_slow_network",
    "fault_flip",
    "fault_full_disk",
    "fault_clock_jump",
    "host_faults",
    "processes_ended",
    "states_fetched",
    "redriven",
)
"""What must have happened at least once in a large batch; a counter at zero fails it."""


def run(seed: int, bug: str) -> Seen:
    """One seed, with that bug."""
    with planted(bug):
        return run_seed(seed)


if __name__ == "__main__":
    about = "Seeds of clusters with an app: everything is counted once, whatever fails."
    sys.exit(main(Program("tests.processing.swarm", about, run, tuple(BUGS), SOMETIMES)))
