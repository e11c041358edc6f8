"""The public methods of a node, by their full names."""

from collections.abc import Mapping

from cluster.broker.admin_service import AdminService
from cluster.broker.groups.group_admin import GroupAdmin
from cluster.broker.groups.subscribe_service import SubscribeService
from cluster.broker.operations_service import OperationsService
from cluster.broker.publish_service import PublishService
from cluster.broker.read_service import ReadService
from cluster.broker.trim_service import TrimService
from cluster.broker.verify_service import VerifyService
from cluster.world import Route


def public_routes(
    publishing: PublishService,
    reading: ReadService,
    admin: AdminService,
    subscribing: SubscribeService,
    groups: GroupAdmin,
    verifying: VerifyService,
    trimming: TrimService,
    operating: OperationsService,
) -> Mapping[str, Route]:
    """What the client listener serves."""
    return {
        "/riverrun.v1.StreamService/Publish": Route(unary=publishing.publish),
        "/riverrun.v1.StreamService/PublishStream": Route(streaming=publishing.publish_stream),
        "/riverrun.v1.StreamService/Read": Route(streaming=reading.read),
        "/riverrun.v1.StreamService/OpenProducer": Route(unary=admin.open_producer),
        "/riverrun.v1.StreamService/GetOffsets": Route(unary=reading.get_offsets),
        "/riverrun.v1.StreamService/Verify": Route(unary=verifying.verify),
        "/riverrun.v1.TopicService/CreateTopic": Route(unary=admin.create_topic),
        "/riverrun.v1.TopicService/AlterTopic": Route(unary=admin.alter_topic),
        "/riverrun.v1.TopicService/GetTopic": Route(unary=admin.get_topic),
        "/riverrun.v1.TopicService/ListTopics": Route(unary=admin.list_topics),
        "/riverrun.v1.TopicService/DeleteTopic": Route(unary=admin.delete_topic),
        "/riverrun.v1.TopicService/DeleteRecords": Route(unary=trimming.delete_records),
        "/riverrun.v1.ClusterService/GetCluster": Route(unary=admin.get_cluster),
        "/riverrun.v1.ClusterService/AddNode": Route(unary=operating.add_node),
        "/riverrun.v1.ClusterService/DrainNode": Route(unary=operating.drain_node),
        "/riverrun.v1.ClusterService/ReplaceNode": Route(unary=operating.replace_node),
        "/riverrun.v1.ClusterService/RemoveNode": Route(unary=operating.remove_node),
        "/riverrun.v1.ClusterService/ReassignPartitions": Route(unary=operating.reassign),
        "/riverrun.v1.ClusterService/CancelReassignments": Route(unary=operating.cancel),
        "/riverrun.v1.ClusterService/ListReassignments": Route(unary=operating.list_all),
        "/riverrun.v1.GroupService/Subscribe": Route(streaming=subscribing.subscribe),
        "/riverrun.v1.GroupService/ListGroups": Route(unary=groups.list_groups),
        "/riverrun.v1.GroupService/DescribeGroup": Route(unary=groups.describe_group),
        "/riverrun.v1.GroupService/ResetGroup": Route(unary=groups.reset_group),
        "/riverrun.v1.GroupService/DeleteGroup": Route(unary=groups.delete_group),
    }
