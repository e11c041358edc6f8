"""A node that has started and heard nothing yet does not say that there is nothing."""

import asyncio

import pytest

from cluster.errors import Unavailable
from cluster.sim.cluster import SimCluster
from cluster.wire.api import app_pb2, cluster_pb2, group_pb2, topic_pb2
from tests.broker.thin import TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow
SERVICE = "/riverrun.v1."
QUESTIONS = {
    "ClusterService/GetCluster": cluster_pb2.GetClusterRequest(),
    "TopicService/GetTopic": topic_pb2.GetTopicRequest(name=TOPIC),
    "TopicService/ListTopics": topic_pb2.ListTopicsRequest(),
    "GroupService/ListGroups": group_pb2.ListGroupsRequest(),
    "GroupService/DescribeGroup": group_pb2.DescribeGroupRequest(group="g"),
    "AppService/ListApps": app_pb2.ListAppsRequest(),
    "AppService/DescribeApp": app_pb2.DescribeAppRequest(name="a"),
}


@in_a_cluster
async def test_a_node_that_starts_alone_knows_nothing_and_says_so(cluster: SimCluster) -> None:
    """Its journal may be old: what was decided meanwhile only the others know. They answer, it does so afterwards."""
    cluster.crash(1)
    for other in (2, 3):
        cluster.cut(1, other)
    await cluster.start(1)
    await asyncio.sleep(2)  # of virtual time
    channel = thin_channel(cluster, 1)
    for method, question in QUESTIONS.items():
        with pytest.raises(Unavailable, match=r"not heard from the controller|heard nothing yet"):
            await channel.call(SERVICE + method, question.SerializeToString(), timeout_s=1.0)
    client = cluster.client("c")
    assert [TOPIC] == [topic.name for topic in await client.list_topics()]
    await client.abandon()
    cluster.fabric.heal()
    await asyncio.sleep(5)
    answer = await channel.call(
        SERVICE + "TopicService/ListTopics", topic_pb2.ListTopicsRequest().SerializeToString(), timeout_s=1.0
    )
    assert [TOPIC] == [topic.name for topic in topic_pb2.ListTopicsResponse.FromString(answer).topics]
