"""The log-like workloads: their options, and each of them in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from chaos.arenas.sim.arena import SimArena
from chaos.history import Event, History, Kind
from chaos.workloads.compaction import CompactionWorkload
from chaos.workloads.load import LogPlan
from chaos.workloads.log import LogWorkload
from chaos.workloads.retention import RetentionWorkload
from cluster.config import NodeConfig
from cluster.sim.clock import simulate


def _small(config: NodeConfig) -> NodeConfig:
    """Something to trim and to compact after seconds."""
    return replace(
        config,
        log=replace(config.log, segment_bytes_max=2 << 10, allocate_bytes_min=4096),
        broker=replace(config.broker, retention_check_s=1.0, segment_age_s_min=1.0, compaction_check_s=1.0),
    )


Ran = tuple[Counter[str], list[Event], Mapping[str, int]]
"""What clients counted, the history, what the arena counted. Nothing of the cluster may outlive its simulation."""


def _run(kind: type[LogWorkload], *, seconds: float, **options: object) -> Ran:
    """A cluster, its power lost in the middle of it, the load, the end and the verdict, which is good."""

    async def run() -> Ran:
        arena, history = SimArena.make(1, adjust=_small), History()
        work = kind(arena, history.scoped(kind.name), options)
        await arena.start()
        await work.prepare()
        running = asyncio.create_task(work.run())
        await asyncio.sleep(seconds / 2)
        mend = await arena.injectors["power_loss_all"].inject(arena.nodes, {})
        assert mend is not None
        await mend()
        await asyncio.sleep(seconds / 2)
        await arena.heal()
        work.stop()
        await running
        await work.finish()
        assert [] == (await arena.examine(work.topics))[0]
        assert [] == work.judge(history.events, options)
        return work.load.counts, history.events, (await arena.stop()).counts

    return simulate(run(), 1)[0]


def test_an_option_that_there_is_not_is_refused() -> None:
    """With its name."""
    with pytest.raises(ValueError, match="no option speed"):
        LogPlan.of(LogWorkload.options, {"speed": 7})


def test_options_say_what_may_be_missing() -> None:
    """By the topic's limits, and by how far clocks may be ahead."""
    compacted = LogPlan.of(CompactionWorkload.options)

    assert (True, False, 10.0) == (compacted.is_compacted, compacted.has_retention, compacted.tombstone_s)
    assert LogPlan.of(compacted.to_options(), {"clocks_ahead_s": 60.0}).tombstone_s is None
    assert LogPlan.of(RetentionWorkload.options).has_retention
    assert LogPlan.of(LogWorkload.options).tombstone_s is None


@pytest.mark.slow
def test_a_rate_is_kept() -> None:
    """All producers together, about; and every send that was acknowledged says how many replicas had synced it."""
    counts, events, _ = _run(LogWorkload, seconds=6.0, rate_per_s=50.0, partitions=2, producers=2, appenders=1)
    sends = [event for event in events if event.name == "send"]
    done = [event for event in sends if event.kind is Kind.OK]

    assert 200 < counts["sent"] < 400
    assert counts["appended_on_condition"] > 0
    assert {"log"} == {event.scope for event in events}
    assert {2, 3} >= {event.value["synced"] for event in done}
    assert len(done) == counts["acknowledged"]


@pytest.mark.slow
def test_limits_delete() -> None:
    """And what they delete is no loss."""
    limits = {"retention_bytes": 4 << 10, "lagging_bytes_max": 4 << 10}
    counts, events, _ = _run(
        RetentionWorkload, seconds=15.0, limits=limits, partitions=1, rate_per_s=20.0, deletes_every_s=2.0
    )
    final = [event for event in events if (event.process, event.name, event.kind) == ("final", "read", Kind.OK)]

    assert counts["deleted"] > 0
    assert final[0].value["first"] > 0


@pytest.mark.slow
def test_keys_are_deleted() -> None:
    """Replicas compact, tombstones go after their time, and topics are made anew beside it."""
    limits = {"compacted": True, "tombstone_ms": 2_000}
    counts, events, figures = _run(CompactionWorkload, seconds=15.0, limits=limits, partitions=1, rate_per_s=20.0)
    final = [event for event in events if (event.process, event.name, event.kind) == ("final", "read", Kind.OK)]

    assert figures["tombstones_dropped"] > 0
    assert counts["topic_remade"] > 0
    assert len(final[0].value["records"]) < final[0].value["records"][-1][0]
