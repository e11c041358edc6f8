"""The named scenarios: few, each with something that it alone attacks. `python -m chaos list` prints them."""

from chaos.scenario import Scenario, faults_named

LOADED = {"log": {"rate_per_s": 120.0}, "groups": {"rate_per_s": 60.0, "life_s_max": 8.0, "cut_off": 0.0}}
"""Two topics, one of them read by a group. Only the simulator can cut a client off: its swarm does."""

CHANGED = {
    "operations": {"shuffled": True, "begin_s": 3.0, "calm_s_max": 3.0},
    "log": {"rate_per_s": 12.0, "partitions": 3, "producers": 2, "readers": 1},
    "groups": {"rate_per_s": 6.0, "partitions": 2, "producers": 2, "members": 2, "life_s_max": 8.0, "cut_off": 0.0},
    "processing": {"pause_s": 0.4, "producers": 1, "partitions": 2},
}
"""Small, for many seeds."""
UNBROKEN = {"no_failures": True, "delivery_timeout_s": 120.0}
OPERATED = {
    "operations": {"strict": True},
    **{name: {**options, **UNBROKEN} for name, options in LOADED.items()},
    "processing": UNBROKEN,
}


def _scenario(name: str, about: str, faults: str, **options: object) -> Scenario:
    words = faults.split()
    return Scenario(**{"name": name, "about": about, "workloads": LOADED, "faults": faults_named(words), **options})  # type: ignore[arg-type]


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _scenario(
            "kills",
            "nodes are killed, asked to stop, and stand still; one by one and all of them; clients vanish",
            "kill terminate pause swizzle client_vanish",
        ),
        _scenario(
            "partitions",
            "nodes do not hear each other: all shapes that Jepsen names, both ways and one way",
            "partition",
            nodes=5,
        ),
        _scenario(
            "links",
            "connections are slow, narrow, cut in pieces, reset, held open, between nodes and to clients",
            "network",
        ),
        _scenario(
            "packets",
            "packets are lost, late, doubled, overtaken, and damaged so that TCP does not tell",
            "packet",
        ),
        _scenario(
            "power",
            "the power of one node, and of all at once: what was not synced is gone",
            "power_loss power_loss_all lying_sync",
        ),
        _scenario(
            "disks",
            "disks fail, fill up, and take seconds for a sync",
            "full_disk sync_fails write_fails no_room slow_sync short_writes slow_disk",
        ),
        _scenario(
            "damage",
            "files of one node are damaged: bits, cut, swapped, stale; logs (in use, too), votes, journal, state",
            "damaged_log damaged_in_use damaged_vote damaged_journal damaged_state",
            workloads={**LOADED, "processing": {}},
        ),
        _scenario(
            "clocks",
            "clocks jump by minutes and run at double speed, while a limit of age deletes records and keys are deleted",
            "clock",
            workloads={
                "retention": {"rate_per_s": 60.0, "limits": {"retention_ms": 90_000}},
                "compaction": {"rate_per_s": 60.0, "clocks_ahead_s": 6000.0},
            },
        ),
        _scenario(
            "shortage",
            "a node lacks memory, descriptors, threads, processor or time",
            "resource",
        ),
        _scenario(
            "processing",
            "an app counts every input once while nodes with its tasks are killed, held and cut off",
            "kill pause partition_one partition_majority",
            workloads={"processing": {}},
        ),
        _scenario(
            "metadata",
            "topics are made and removed while the controller and others are killed, held and cut off",
            "kill pause cut partition_one partition_majority",
            workloads={"metadata": {}},
        ),
        _scenario(
            "cleaning",
            "records are deleted and keys compacted while nodes are killed, held and cut off",
            "kill pause partition_one",
            workloads={"retention": {"rate_per_s": 60.0}, "compaction": {"rate_per_s": 60.0}},
        ),
        _scenario(
            "restarts",
            "every node is restarted in its turn, over and over, beside readers, groups and an app",
            "rolling_restart",
            workloads={**LOADED, "processing": {}},
            every_s=10.0,
        ),
        _scenario(
            "operations",
            "nodes are added, drained, replaced and restarted under load; nothing is broken, and no publish may fail",
            "",
            workloads=OPERATED,
            seconds=300.0,
            until="operations",
        ),
        _scenario(
            "changes",
            "the same, in any order, while nodes are killed, held and cut off",
            "kill pause partition_one partition_majority cut",
            workloads=CHANGED,
            every_s=4.0,
            frugal=True,
        ),
        _scenario(
            "everything",
            "two at a time of all that a machine allows",
            "kill pause power_loss power_loss_all slow_sync full_disk partition latency reset_peer clock_jump cpu",
            workloads={**LOADED, "processing": {}, "metadata": {}},
            overlap=True,
        ),
    )
}
"""By name."""
