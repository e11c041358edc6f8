"""What a seed draws: how many nodes, how fast, which faults and how often: each seed has its own mix (a swarm)."""

import random
from dataclasses import asdict, dataclass, replace
from typing import Any

from chaos.workloads.load import LogPlan
from cluster.config import LogOptions, NodeConfig
from cluster.metadata import TopicConfig

TOPIC = "t"
GROUP = "workers"
AGAIN = "again"

FAULTS = (
    "crash",
    "power_loss",
    "cut",
    "cut_one_way",
    "isolate",
    "pause",
    "slow_disk",
    "slow_network",
    "flip",
    "full_disk",
    "clock_jump",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One seed's drawing. Times are virtual seconds."""

    nodes: int
    partitions: int
    load_s: float
    every_s: float
    faults: tuple[str, ...]
    latency_s: tuple[float, ...]
    torn: bool
    mid_write: float
    """How likely a power loss waits for the middle of a write."""
    aim_at_leader: float
    pre_vote: bool
    idle_ticks: int
    entries_per_append: int
    segment_bytes: int
    producers: int
    readers: int
    appenders: int
    """Who appends on condition of the end, one record after the other."""
    linger_s: float
    think_s: float
    """The longest that a producer waits before it produces again."""
    tick_s: float
    members: int
    """Seats in a group."""
    folded_segment_bytes: int
    limits: TopicConfig
    """Of the topic; small ones, and then segments are small, too."""
    deletes_every_s: float
    """Somebody deletes the beginning of a partition so often; 0: never."""
    remakes: bool
    """Somebody makes a topic and deletes it, over and over."""
    compaction_keys: int
    """How many keys a pass of compaction keeps in memory."""
    cache_bytes: int = LogOptions().cache_bytes_max
    """Of a log, in memory."""
    cut_off: float
    """How likely a member is cut off from all nodes once, mostly for longer than its grace, and commits late."""

    @property
    def load(self) -> dict[str, Any]:
        """What its clients do: options of the workload `groups`, without members where it has none."""
        return LogPlan(
            topic=TOPIC,
            partitions=self.partitions,
            limits=asdict(self.limits),
            producers=self.producers,
            appenders=self.appenders,
            readers=self.readers,
            think_s=self.think_s,
            linger_s=self.linger_s,
            deletes_every_s=self.deletes_every_s,
            remakes=AGAIN if self.remakes else "",
            clocks_ahead_s=JUMPS_S_MAX if "clock_jump" in self.faults else 0.0,
            group=GROUP,
            members=self.members,
            cut_off=self.cut_off,
        ).to_options()

    def adjust(self, config: NodeConfig) -> NodeConfig:
        """A node's options, as they were drawn."""
        return replace(
            config,
            raft=replace(
                config.raft,
                pre_vote=self.pre_vote,
                idle_ticks_before_sleep=self.idle_ticks,
                entries_per_append_max=self.entries_per_append,
            ),
            broker=replace(
                config.broker,
                tick_s=self.tick_s,
                retention_check_s=1.0,
                segment_age_s_min=1.0,
                group_partitions=1,
                compaction_check_s=1.0,
                compaction_chunk_bytes=1_000,
                compaction_keys_max=self.compaction_keys,
            ),
            log=replace(
                config.log,
                segment_bytes_max=self.log_bytes,
                folded_segment_bytes_max=self.folded_segment_bytes,
                allocate_bytes_min=4096,
                cache_bytes_max=self.cache_bytes,
            ),
        )

    @property
    def progress_s(self) -> float:
        """Within so long after everything is healed something is sent and acknowledged."""
        return max(PROGRESS_S, self.think_s + PROGRESS_S / 2)

    @property
    def log_bytes(self) -> int:
        """How large segments get: so small that there is something to trim, where something may be trimmed."""
        return SMALL_BYTES if self.limits != TopicConfig() or self.deletes_every_s else self.segment_bytes


PROGRESS_S = 5.0
SMALL_BYTES = 2 << 10
JUMPS_S_MAX = 500 * 3600
"""More than all of a seed's jumps of clocks may add up to."""
LIMITS = (
    TopicConfig(),
    TopicConfig(),
    TopicConfig(),
    TopicConfig(),
    TopicConfig(),
    TopicConfig(retention_bytes=4 << 10, lagging_bytes_max=4 << 10),
    TopicConfig(retention_bytes=12 << 10),
    TopicConfig(retention_ms=8_000, lagging_bytes_max=8 << 10),
    TopicConfig(retention_ms=20_000, retention_bytes=8 << 10, lagging_bytes_max=1),
    TopicConfig(compacted=True, tombstone_ms=3_000, lagging_bytes_max=2 << 10),
    TopicConfig(compacted=True, tombstone_ms=10_000),
    TopicConfig(compacted=True),
    TopicConfig(compacted=True, tombstone_ms=3_000, retention_ms=30_000, lagging_bytes_max=1),
)


def draw_sparse(rng: random.Random) -> Plan:
    """A long life with a record now and then, as most clusters have: partitions sleep, and what is rare happens often.

    Faults come as long as it lasts, mostly while nobody sends anything.
    """
    plan = draw(rng)
    faults = (*FAULTS, "rot")
    return replace(
        plan,
        load_s=1200.0,
        faults=tuple(sorted(rng.sample(faults, rng.randint(2, len(faults))))),
        cache_bytes=rng.choice((0, plan.cache_bytes)),
        every_s=rng.choice((10.0, 20.0, 40.0)),
        idle_ticks=10,
        tick_s=0.1,
        producers=rng.randint(1, 2),
        readers=rng.randint(0, 1),
        appenders=rng.randint(0, 1),
        think_s=rng.choice((5.0, 20.0)),
        deletes_every_s=5 * plan.deletes_every_s,
        remakes=False,
    )


def draw(rng: random.Random) -> Plan:
    """The plan of a seed."""
    nodes = rng.choice((3, 3, 3, 5))
    return Plan(
        nodes=nodes,
        partitions=6,
        load_s=60.0,
        every_s=rng.choice((4.0, 8.0, 12.0)),
        faults=tuple(sorted(rng.sample(FAULTS, rng.randint(2, len(FAULTS))))),
        latency_s=tuple(rng.choice((0.0005, 0.002, 0.01)) for _ in range(nodes)),
        torn=rng.random() < 0.7,
        mid_write=rng.choice((0.0, 0.5, 0.9)),
        aim_at_leader=rng.choice((0.0, 0.7)),
        pre_vote=rng.random() < 0.7,
        idle_ticks=rng.choice((0, 10)),
        entries_per_append=rng.choice((1, 4, 64)),
        segment_bytes=rng.choice((4 << 10, 64 << 10, 64 << 20)),
        producers=rng.randint(2, 4),
        readers=rng.randint(0, 2),
        linger_s=rng.choice((0.0, 0.005, 0.05)),
        think_s=rng.choice((0.4, 1.0, 2.5)),
        tick_s=rng.choice((0.05, 0.1, 0.1)),
        members=rng.choice((0, 2, 3)),
        folded_segment_bytes=rng.choice((2 << 10, 16 << 10, 4 << 20)),
        appenders=rng.randint(0, 2),
        limits=rng.choice(LIMITS),
        deletes_every_s=rng.choice((0.0, 0.0, 0.0, 3.0)),
        compaction_keys=rng.choice((4, 1000, 1000)),
        remakes=rng.random() < 0.3,
        cut_off=rng.choice((0.0, 0.3, 0.7)),
    )
