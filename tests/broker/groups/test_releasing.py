"""Partitions that are given back: many of them cost the log little, and none is lost on the way."""

import asyncio

import pytest

from cluster.sim.cluster import SimCluster
from cluster.wire.api import group_pb2
from tests.broker.groups.test_trouble import said
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import in_a_cluster

pytestmark = pytest.mark.slow
WIDE = 256


@in_a_cluster
async def test_what_is_released_one_by_one_goes_together(cluster: SimCluster) -> None:
    """Each entry costs a plan for the whole group: there are far fewer of them than partitions that move."""
    client = cluster.client("admin")
    await client.create_topic("wide", partitions=WIDE, replicas=1)
    asked = {"topics": ["wide"], "delivery": group_pb2.DELIVERY_NONE}
    first = await ThinMember(cluster, 1, **asked).open()
    await first.take_until_held(WIDE)
    second = await ThinMember(cluster, 2, **asked).open()
    while len(first.revoked) < WIDE // 2:
        await first.take()
    before = said(cluster)
    for held in first.revoked:
        await first.say(group_pb2.SubscribeRequest(release=group_pb2.Release(partitions=[held])))
    await asyncio.wait_for(second.take_until_held(WIDE // 2), 30)

    assert {held.partition for held in first.revoked} == set(second.held)
    assert said(cluster) - before < WIDE // 8
    await client.abandon()
