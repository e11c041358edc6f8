"""Every seed draws its own mix: how large, how fast, how bad. Each dimension has an "off" and an extreme."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """One seed's surroundings. Weights are of actions: how often each is chosen beside the others."""

    steps: int
    """Of the storm; afterwards everything heals and progress is demanded."""
    inputs: int
    records: int
    """Of each input."""
    destinations: int
    keys: int
    work_records_max: int
    timers: float
    """The chance that a record sets one."""
    quiet: bool
    """Timers change state only."""
    extra: float
    """The chance of each more output of a record."""
    ahead: int
    """Commits that are made before the first of them is answered."""
    in_flight: int
    loss: float
    duplicates: float
    drop_proposal: float
    """The chance that a command is lost before it is in the log."""
    zombie: float
    """The chance that who is deposed does not notice."""
    ghost: float
    """The chance that what a stopped runner had made is proposed later all the same."""
    deleted: float
    """The chance that one destination is deleted, and made anew."""
    deleted_input: float
    lag: float
    """The chance that the last node is passed over when entries are sent to it."""
    late: float
    """Of what is duplicated, how much comes when nobody expects it any more."""
    chunk_bytes: int
    weights: dict[str, float]


def draw(random: Random) -> Mix:
    """A point in the space of everything that can be different."""
    bad = random.choice((0, 1, 1, 3))
    return Mix(
        steps=random.choice((300, 600, 900)),
        inputs=random.choice((1, 2, 3)),
        records=random.choice((6, 15, 15, 25, 60)),
        destinations=random.choice((1, 2, 4)),
        keys=random.choice((1, 3, 10)),
        work_records_max=random.choice((1, 1, 2, 4)),
        timers=random.choice((0, 0.3, 1)),
        quiet=random.random() < 0.4,
        extra=random.choice((0, 0.3)),
        ahead=random.choice((1, 2, 2, 4)),
        in_flight=random.choice((1, 3, 8)),
        loss=random.choice((0, 0.1, 0.3)),
        duplicates=random.choice((0, 0.1, 0.4)),
        drop_proposal=random.choice((0, 0, 0.1, 0.3)),
        zombie=random.choice((0, 0.5, 1)),
        ghost=random.choice((0, 0.5, 1)),
        deleted=random.choice((0, 0, 0.5)),
        deleted_input=random.choice((0, 0, 0, 0.3)),
        lag=random.choice((0, 0, 0.8, 0.97)),
        late=random.choice((0, 0.5)),
        chunk_bytes=random.choice((10, 60, 10_000)),
        weights={
            "make": 12,
            "propose": 12,
            "turn": 12,
            "replicate": 16,
            "apply": 10,
            "start": 6,
            "ship": 8,
            "deliver": 16,
            "destination_commits": random.choice((2, 8)),
            "flush": random.choice((1, 3)),
            "trim": random.choice((0, 1, 4)),
            "install": 4,
            "destination_leader_changes": random.choice((0, 1)) * bad,
            "elect": random.choice((0.3, 1)) * max(bad, 1),
            "crash": random.choice((0, 0.5)) * bad,
            "restart": random.choice((0.5, 3)),
            "host_crash": random.choice((0, 1, 3)) * bad,
            "delete": 1,
            "again": 3,
        },
    )


SOMETIMES = (
    "commits_accepted",
    "refused_by_term",
    "refused_by_number",
    "refused_by_previous",
    "refused_by_position",
    "refused_by_sequence",
    "begun_again_refused",
    "elections",
    "leaders_deposed_unnoticed",
    "entries_of_an_old_term_committed",
    "entries_truncated",
    "proposals_lost",
    "proposed_by_ghosts",
    "hosts_crashed",
    "crashes",
    "store_commits_lost",
    "timers_fired",
    "timers_moved",
    "timers_deleted",
    "logs_trimmed",
    "ledgers_installed",
    "snapshots_installed",
    "snapshots_resumed",
    "batches_sent",
    "batches_sent_by_zombies",
    "requests_lost",
    "answers_lost",
    "requests_duplicated",
    "batches_appended",
    "duplicates_answered",
    "fenced",
    "gaps_refused",
    "unknown_producers_refused",
    "destination_entries_truncated",
    "destinations_deleted",
    "outputs_stopped",
    "inputs_deleted",
)
"""What must have happened at least once in a batch of seeds; a batch in which it did not proves nothing about it."""
RARE = ("refused_by_timer", "duplicates_forgotten")
"""Counted as well, and not in every batch: both have tests of their own."""
