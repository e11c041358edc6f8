"""What goes wrong around a member: it goes while it comes, it never reads, it comes twice, its topic goes."""

import asyncio

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.groups.test_members import GRACE_S, describe
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import PARTITIONS, in_a_cluster

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_who_vanishes_while_it_joins_is_let_go(cluster: SimCluster) -> None:
    """At whatever moment: nobody keeps partitions without a stream for more than the grace."""
    await (await ThinMember(cluster, 1).open()).leave()
    for number in range(40):
        member = ThinMember(cluster, 1 + number % 3)
        await member.begin()
        await asyncio.sleep(number * 0.0005)
        member.break_stream()
    await asyncio.sleep(2 * GRACE_S)

    assert [] == list((await describe(cluster, 1)).members)
    other = await ThinMember(cluster, 2).open()
    await other.take_until_held(PARTITIONS)
