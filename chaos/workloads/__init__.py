"""What clients do meanwhile; the same code in every arena, and what it leaves is a history."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos.workloads.workload import Workload

WORKLOADS = {
    "log": "chaos.workloads.log:LogWorkload",
    "retention": "chaos.workloads.retention:RetentionWorkload",
    "compaction": "chaos.workloads.compaction:CompactionWorkload",
    "groups": "chaos.workloads.groups:GroupsWorkload",
    "processing": "chaos.workloads.processing:ProcessingWorkload",
    "metadata": "chaos.workloads.metadata:MetadataWorkload",
    "operations": "chaos.workloads.operations:OperationsWorkload",
}
"""By name, where each is."""


def workload_class(name: str) -> "type[Workload]":
    """By name. KeyError if there is none."""
    module, _, attribute = WORKLOADS[name].partition(":")
    found: type[Workload] = getattr(import_module(module), attribute)
    return found
