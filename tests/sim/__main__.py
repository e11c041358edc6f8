"""`python -m tests.sim --seeds N [--from 1]`: cluster seeds, two at a time; stops with the line that repeats a failure.

`python -m tests.sim --replay SEED` runs one and prints its faults; `--bug all` plants bugs and counts the seeds until
each is found, from 1.
"""

import sys

from chaos.arenas.sim.swarm.seed import PlannedCluster, run_seed
from chaos.arenas.sim.swarm.seen import Seen
from tests.sim.planted import CLUSTERS, patched
from tests.sim.program import Program, main

SOMETIMES = (
    "elections",
    "duplicate_answered",
    "restart",
    "power_lost_in_mid_write",
    "doubtful_tail",
    "recovered_damage",
    "fault_crash",
    "fault_power_loss",
    "fault_cut",
    "fault_cut_one_way",
    "fault_isolate",
    "fault_pause",
    "fault_slow_disk",
    "fault_slow_network",
    "fault_flip",
    "fault_file_cut",
    "fault_flip_head",
    "fault_full_disk",
    "fault_clock_jump",
    "records_read",
    "appended_on_condition",
    "conflict",
    "trimmed",
    "reinstalled",
    "deleted",
    "read_out_of_range",
    "given",
    "redelivered",
    "member_left",
    "member_vanished",
    "member_cut_off",
    "commit_fenced",
    "group_skipped",
    "receipts_verified",
    "compacted",
    "tombstones_dropped",
    "began_anew",
    "topic_remade",
)
"""What must have happened at least once in a large batch; a counter at zero fails it."""


def run(seed: int, bug: str) -> Seen:
    """One seed, with that bug."""
    with patched(bug):
        return run_seed(seed, CLUSTERS[bug] if bug else PlannedCluster)


if __name__ == "__main__":
    about = "Cluster seeds: whole clusters under faults in virtual time."
    sys.exit(main(Program("tests.sim", about, run, tuple(CLUSTERS), SOMETIMES)))
