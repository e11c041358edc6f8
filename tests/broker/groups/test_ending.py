"""The end of a member's stream: nothing that was under way for it is left behind."""

import asyncio
import gc
from typing import Any

import pytest

from cluster.broker.groups.subscription import Subscription
from cluster.errors import DeadlineExceeded
from cluster.sim.cluster import SimCluster
from cluster.wire.pb.riverrun.v1 import group_pb2
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import in_a_cluster

pytestmark = pytest.mark.slow


async def an_ended_one(cluster: SimCluster) -> Subscription:
    """What the node had for a member whose stream has broken."""
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
    return subscription


@in_a_cluster
async def test_nothing_begins_for_a_stream_that_has_ended(cluster: SimCluster) -> None:
    """Regression: a commit that was answered while its stream ended began to leave, and nobody waited for that."""
    subscription = await an_ended_one(cluster)
    assert not subscription._tasks

    subscription._start(subscription._leave())
    assert not subscription._tasks


@in_a_cluster
async def test_a_refusal_that_comes_when_the_stream_has_ended_is_told_to_nobody(cluster: SimCluster) -> None:
    """Regression (found in a run of cluster seeds): the log said that its exception was never retrieved."""
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    subscription = await an_ended_one(cluster)
    commit = group_pb2.Commit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscription, "_partition", refuse)
        commit.positions.add(position=5)
        subscription._start(subscription._told_commit(commit, await subscription._commit(commit)))
    gc.collect()
    assert [] == unheard


def refuse(_: object) -> None:
    """Nobody is asked for the end any more."""
    raise DeadlineExceeded("a majority did not confirm the leader in time")
