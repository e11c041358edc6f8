"""`python -m tests.sim.sparse --seeds N [--from 1]`: cluster seeds of twenty virtual minutes with little to do.

A record every few seconds, and faults as long as it lasts: partitions sleep and are woken, positions, producers and
tombstones grow old, clocks go apart. An hour of such a cluster takes about a third of the time that one of the busy
seeds of `python -m tests.sim` takes.
"""

import sys

from chaos.arenas.sim.swarm.plan import draw_sparse
from chaos.arenas.sim.swarm.seed import PlannedCluster, run_seed
from chaos.arenas.sim.swarm.seen import Seen
from tests.sim.__main__ import SOMETIMES
from tests.sim.program import Program, main

NEVER = {"topic_remade"}


def run(seed: int, _bug: str) -> Seen:
    """One seed."""
    return run_seed(seed, PlannedCluster, draw_sparse)


if __name__ == "__main__":
    about = "Cluster seeds: long lives with little to do, under faults in virtual time."
    sometimes = *(name for name in SOMETIMES if name not in NEVER), "fault_rot", "ended_by_damage"
    sys.exit(main(Program("tests.sim.sparse", about, run, (), sometimes)))
