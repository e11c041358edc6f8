"""Compaction: the log workload on a compacted topic, some of whose keys are deleted, beside one that is remade."""

from collections.abc import Mapping
from typing import Any, ClassVar

from chaos.workloads.load import LogPlan
from chaos.workloads.log import LogWorkload


class CompactionWorkload(LogWorkload):
    """The newest record of each key stays, what was deleted does not come back. Nodes need small segments for it."""

    name: ClassVar[str] = "compaction"
    options: ClassVar[Mapping[str, Any]] = LogPlan(
        limits={"compacted": True, "tombstone_ms": 10_000, "lagging_bytes_max": 64 << 10}, remakes="compaction-again"
    ).to_options()
