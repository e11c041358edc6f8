"""Every seed draws its own mix: which options are on, how fast and how bad everything is, what is aimed at whom.

One mix for all hides bugs: pre-vote masks a vote without the log check, large batches mask the commit of an old term's
entry, equal disks mask a leader that counts what it has not synced. So each dimension has an "off" and an extreme, and
a seed is one point. All times are in microseconds.
"""

from dataclasses import dataclass, replace
from random import Random

from cluster.config import RaftOptions

MS = 1_000
SECOND = 1_000_000

ALL_SECONDS_MAX = 120
"""Of virtual time a seed, healing included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """One seed's surroundings."""

    nodes: int
    options: RaftOptions
    stormy_us: int
    """Faults happen until then; afterwards everything heals and progress is demanded."""
    tick_us: tuple[int, ...]
    """Of each host: its clock's rate."""
    turn_us: int
    """What arrives within so long is taken in one turn. 0: every message has its own."""
    # the network
    delay_us_max: tuple[int, ...]
    """Of each host's outgoing links."""
    loss: float
    duplicates: float
    fifo: bool
    # the disks
    sync_us: tuple[int, ...]
    share_syncs: bool
    """Everything that waits shares the next sync; otherwise one write a sync."""
    parallel: bool
    """The leader replicates while its own write is under way (thesis §10.2.1)."""
    torn: float
    no_room: float
    """The chance that a disk has no room, when it begins to sync, for anything but votes."""
    flip: float
    corrupt: float
    again: float
    """The chance that damage may hit what is damaged, or in doubt, already."""
    all_again: float
    """The chance that power fails everywhere soon after a start that found something missing."""
    # faults
    fault_us_mean: int
    weights: tuple[int, int, int]
    """Crash, cut, pause."""
    all_at_once: float
    aim: float
    """The chance that a fault is aimed at a leader."""
    restart_us_mean: int
    crash_on_message: float
    """The chance that a host dies at one of its own awkward moments."""
    # use
    trim_after: int
    """Entries that a log holds before it is trimmed. 0: never."""
    producers: int
    window: int
    think_us: int
    rest_us: int
    """Now and then a producer is silent for so long, so that the group falls asleep."""
    transfer_us_mean: int
    barrier_us_mean: int
    hint_us_mean: int
    """Somebody is told who is away. 0: never."""
    late_voters: float
    """The chance that a host is not allowed to vote from the start."""
    # compaction
    floor_us_mean: int
    """Tombstones are given up so often. 0: never, and nothing is compacted."""
    floor_lag_max: int
    """Up to so many entries below the commit."""
    compaction: float
    """The chance that a host compacts after a turn in which the commit moved."""
    # membership
    change_us_mean: int
    """Somebody looks so often whether the members should be others. 0: never, and they are not."""
    replicas_max: int
    """In all, over the whole life of the group."""
    voters_min: int
    careless: float
    """The chance that a new replica is taken to have caught up, whatever it has."""
    removed_stop: float
    """The chance that a replica that was removed is stopped; otherwise it runs on."""


def draw(random: Random, chance: Random, changes: Random, room: Random, again: Random) -> Mix:
    """A point in the space of everything that can be different; all but `random` are for what came later."""
    nodes = 3 if random.random() < 0.65 else 5
    speed = random.choice((60, 100, 150)) * MS
    wild = random.random() < 0.15
    delay = random.choice((2, 20, 150)) * MS
    sync = random.choice((500, 5 * MS, 40 * MS, 250 * MS))
    mix = Mix(
        nodes=nodes,
        options=draw_options(random),
        stormy_us=random.choice((15, 20, 30)) * SECOND,
        tick_us=tuple(
            int(speed * (random.uniform(0.5, 2) if wild else random.uniform(0.9, 1.1))) for _ in range(nodes)
        ),
        turn_us=random.choice((0, 0, 0, 1 * MS, 10 * MS)),
        delay_us_max=tuple(min(300 * MS, delay * random.choice((1, 1, 1, 6))) for _ in range(nodes)),
        loss=random.choice((0, 0, 0.01, 0.05, 0.2)),
        duplicates=random.choice((0, 0, 0.02, 0.2)),
        fifo=random.random() < 0.3,
        sync_us=tuple(min(600 * MS, int(sync * random.choice((0.1, 1, 8)))) for _ in range(nodes)),
        share_syncs=random.random() < 0.6,
        parallel=random.random() < 0.7,
        torn=random.choice((0, 0.5, 1)),
        no_room=room.choice((0, 0, 0, 0, 0.1, 0.8)),
        flip=random.choice((0, 0, 0, 0.3)),
        corrupt=random.choice((0, 0, 0, 0.15)),
        again=again.choice((0, 0, 0.5, 1)),
        all_again=again.choice((0, 0, 0.1, 0.5)),
        fault_us_mean=random.choice((400 * MS, 1200 * MS, 4 * SECOND, 10 * SECOND)),
        weights=random.choice(((4, 4, 2), (1, 0, 0), (0, 1, 0), (6, 3, 1), (2, 6, 2), (2, 2, 6))),
        all_at_once=random.choice((0, 0.1, 0.4)),
        aim=random.choice((0, 0.7)),
        restart_us_mean=random.choice((30 * MS, 300 * MS, 3 * SECOND)),
        crash_on_message=random.choice((0, 0, 0.02, 0.1)),
        trim_after=random.choice((0, 0, 6, 40)),
        producers=random.choice((1, 2, 3)),
        window=random.choice((1, 1, 4, 16)),
        think_us=random.choice((5 * MS, 50 * MS, 300 * MS)),
        rest_us=random.choice((0, 0, 4 * SECOND)),
        transfer_us_mean=random.choice((0, 1 * SECOND, 6 * SECOND)),
        barrier_us_mean=random.choice((300 * MS, 2 * SECOND)),
        hint_us_mean=random.choice((0, 500 * MS, 3 * SECOND)),
        late_voters=random.choice((0, 0, 0, 0.4)),
        floor_us_mean=chance.choice((0, 500 * MS, 2 * SECOND)),
        floor_lag_max=chance.choice((0, 10, 60)),
        compaction=chance.choice((0.1, 1)),
        change_us_mean=changes.choice((0, 0, 0, 0, 300 * MS, 2 * SECOND)),
        replicas_max=nodes + changes.choice((1, 3, 6)),
        voters_min=changes.choice((1, 2, 3, 3)),
        careless=changes.choice((0, 0.2, 1)),
        removed_stop=changes.choice((0, 0.5, 1)),
    )
    if mix.change_us_mean and not (mix.options.pre_vote or mix.options.check_quorum):
        # §6: else nothing keeps whoever is left out, or not yet taken in, from campaigning for ever
        return replace(mix, options=replace(mix.options, check_quorum=True))
    return mix


def draw_options(random: Random) -> RaftOptions:
    """The core's own options, each with its extremes."""
    election = random.choice((4, 6, 10))
    return RaftOptions(
        election_ticks_min=election,
        election_ticks_max=2 * election,
        heartbeat_ticks=random.choice((1, 2)),
        pre_vote=random.random() < 0.5,
        check_quorum=random.random() < 0.7,
        entries_per_append_max=random.choice((1, 2, 64)),
        bytes_per_append_max=random.choice((300, 1 << 20)),
        inflight_bytes_max=random.choice((500, 1 << 24)),
        inflight_appends_max=random.choice((1, 3, 64)),
        idle_ticks_before_sleep=random.choice((0, 3, 10)),
    )


SOMETIMES = (
    "elections",
    "split_votes",
    "pre_votes_refused",
    "votes_refused_for_the_log",
    "leaders_deposed",
    "leaders_resigned_without_quorum",
    "crashes",
    "crashes_of_all",
    "leaders_crashed_before_sync",
    "writes_torn",
    "votes_written_without_room",
    "leaders_without_room",
    "conflicts_truncated",
    "appends_rejected",
    "old_terms_committed_with_a_new_one",
    "leaders_commit_before_own_sync",
    "stale_terms_received",
    "duplicates_received",
    "cuts",
    "one_way_cuts",
    "elections_during_one_way_cuts",
    "pauses",
    "hints",
    "logs_trimmed",
    "folds_installed",
    "transfers_done",
    "barriers_confirmed",
    "barriers_failed",
    "duplicates_answered",
    "gaps_refused",
    "tails_flipped",
    "tails_doubtful",
    "tails_cut",
    "tails_fetched_again",
    "corruptions",
    "damaged_again",
    "crashes_of_all_while_one_lacks",
    "recoveries_done",
    "floors_raised",
    "tombstones_dropped",
    "begun_anew",
    "groups_asleep",
    "sleepers_woken",
    "voters_allowed_late",
    "unrecorded_wiped",
    "memberships_simple",
    "memberships_joint",
    "memberships_truncated",
    "learners_chosen",
    "blanks_told",
    "changes_refused",
    "changes_cut",
    "wishes_confirmed",
    "hand_overs",
    "replicas_removed",
    "leaders_removed",
    "removed_ask_for_votes",
)
"""What must have happened at least once in a batch of seeds; a batch in which it did not proves nothing about it."""
