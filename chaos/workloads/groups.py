"""Groups: the log workload, and members of a group over its topic that come, process, commit, go or vanish."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.groups import check_group
from chaos.history import Event
from chaos.workloads.load import LogPlan
from chaos.workloads.log import LogWorkload
from chaos.workloads.members import finish_group, take_part


class GroupsWorkload(LogWorkload):
    """Nothing is skipped, nothing that was committed is given again, and whoever was away too long is refused."""

    name: ClassVar[str] = "groups"
    options: ClassVar[Mapping[str, Any]] = LogPlan(members=3, cut_off=0.3, readers=1).to_options()

    @property
    def group(self) -> str:
        """Its name."""
        return self.load.plan.group or f"{self.load.topic}-workers"

    def others(self) -> list[Coroutine[Any, Any, None]]:
        """Members as well."""
        members = (take_part(self.load, self.group, number) for number in range(self.load.plan.members))
        return [*super().others(), *members]

    async def finish(self) -> None:
        """A last member processes what is left; then everything is read."""
        if self.load.plan.members:
            await finish_group(self.load, self.group)
        await super().finish()

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """Everything that is wrong with the topic or the group."""
        plan = LogPlan.of(cls.options, options)
        deleted = plan.has_retention or plan.deletes_every_s > 0
        found = check_group(events, compacted=plan.is_compacted, tombstone_s=plan.tombstone_s, deleted=deleted)
        return [*super().judge(events, options), *found]
