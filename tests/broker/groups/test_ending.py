"""The end of a member's stream: nothing that was under way for it is left behind."""

import asyncio
from typing import Any

import pytest

from cluster.broker.groups.subscription import Subscription
from cluster.sim.cluster import SimCluster
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import in_a_cluster

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_nothing_begins_for_a_stream_that_has_ended(cluster: SimCluster) -> None:
    """Regression: a commit that was answered while its stream ended began to leave, and nobody waited for that."""
    made: list[Subscription] = []
    init = Subscription.__init__

    def noted(self: Subscription, *arguments: Any, **named: Any) -> None:
        made.append(self)
        init(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subscription, "__init__", noted)
        member = await ThinMember(cluster, 1).open()
    member.break_stream()
    await asyncio.sleep(2)  # of virtual time: the node has noticed
    (subscription,) = made
    assert not subscription._tasks

    subscription._start(subscription._leave())
    assert not subscription._tasks
