"""More than there is room for: refused with an error that the member's application gets, and nobody else is harmed."""

import asyncio

import pytest

from cluster.broker.groups import state, weight
from cluster.errors import LimitReached
from cluster.sim.cluster import SimCluster
from cluster.wire.api import group_pb2
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import PARTITIONS, TOPIC, in_a_cluster


@pytest.mark.slow
def test_who_joins_a_full_group_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, thin or not; repeated for ever by its node it would look as if the cluster did not answer."""
    monkeypatch.setattr(state, "MEMBERS_MAX", 1)

    async def body(cluster: SimCluster) -> None:
        member = await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()
        await member.take_until_held(PARTITIONS)
        async with asyncio.timeout(5):
            with pytest.raises(LimitReached, match="1 members"):
                await ThinMember(cluster, 2).open()
            client = cluster.client("another")
            with pytest.raises(LimitReached, match="1 members"):
                await anext(aiter(client.subscribe(TOPIC, group="g")))
        await client.abandon()
        assert "" == await member.commit(0, 1)

    in_a_cluster(body)()


@pytest.mark.slow
def test_a_group_for_which_there_is_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there go on, and their members come and go."""

    async def body(cluster: SimCluster) -> None:
        member = await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()
        await member.take_until_held(PARTITIONS)
        with monkeypatch.context() as patch:
            patch.setattr(weight, "NEW_BYTES_MAX", 0)
            async with asyncio.timeout(5):
                with pytest.raises(LimitReached, match="delete groups"):
                    await ThinMember(cluster, 2, group="another").open()
            second = await ThinMember(cluster, 2, delivery=group_pb2.DELIVERY_NONE).open()
            await asyncio.gather(member.take_until_held(PARTITIONS // 2), second.take_until_held(PARTITIONS // 2))
            for each in (member, second):
                for number in each.held:
                    assert "" == await each.commit(number, 1)

    in_a_cluster(body)()
