"""Retention: the log workload on a topic whose limits delete records, while somebody deletes some as well."""

from collections.abc import Mapping
from typing import Any, ClassVar

from chaos.workloads.load import LogPlan
from chaos.workloads.log import LogWorkload


class RetentionWorkload(LogWorkload):
    """What is deleted stays deleted, and nothing else goes. Nodes need small segments for it: `segment_bytes_max`."""

    name: ClassVar[str] = "retention"
    options: ClassVar[Mapping[str, Any]] = LogPlan(
        limits={"retention_bytes": 64 << 10, "retention_ms": 20_000, "lagging_bytes_max": 64 << 10},
        deletes_every_s=3.0,
    ).to_options()
