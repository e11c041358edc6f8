"""Groups for people and tools: who is in them, how far they are, and setting that anew. Any node answers."""

from collections.abc import Sequence

from cluster.client.calls import Calls
from cluster.client.group_views import GroupPartitionView, GroupView, group_view, partition_view
from cluster.client.positions import Place, position_of
from cluster.errors import InvalidRequest, UnknownGroup
from cluster.wire import api
from cluster.wire.api import group_pb2

LIST_GROUPS = "/riverrun.v1.GroupService/ListGroups"
DESCRIBE_GROUP = "/riverrun.v1.GroupService/DescribeGroup"
RESET_GROUP = "/riverrun.v1.GroupService/ResetGroup"
DELETE_GROUP = "/riverrun.v1.GroupService/DeleteGroup"


class GroupAdmin:
    """Each call takes `timeout_s`; None is `ClientOptions.request_timeout_s`.

    Resetting and deleting are not repeated when their outcome is unknown: OutcomeUnknown or DeadlineExceeded says so,
    and `describe_group` tells how it went.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list_groups(self, *, timeout_s: float | None = None) -> tuple[GroupView, ...]:
        """All groups by name, with their members; without partitions, which `describe_group` tells."""
        found: list[GroupView] = []
        request = group_pb2.ListGroupsRequest()
        while True:
            answer = await self._calls.call(
                LIST_GROUPS, request.SerializeToString(), timeout_s=timeout_s, repeatable=True
            )
            page = api.parse(group_pb2.ListGroupsResponse, answer)
            found += [group_view(group) for group in page.groups]
            if not page.next_page_token:
                return tuple(found)
            request.page_token = page.next_page_token

    async def describe_group(self, name: str, *, timeout_s: float | None = None) -> GroupView:
        """One group: members, who holds what, positions and lag. UnknownGroup if every node says so."""
        request = group_pb2.DescribeGroupRequest(group=name).SerializeToString()
        answer = await self._calls.call(
            DESCRIBE_GROUP, request, timeout_s=timeout_s, repeatable=True, doubt=UnknownGroup
        )
        return group_view(api.parse(group_pb2.DescribeGroupResponse, answer).group)

    async def reset_group(
        self, name: str, topic: str, to: Place, *, partitions: Sequence[int] = (), timeout_s: float | None = None
    ) -> tuple[GroupPartitionView, ...]:
        """Set a group's positions in a topic, of these partitions or of all; they are returned as they are now.

        An offset that a partition does not have becomes the nearest one that it has.
        Errors: UnknownGroup, GroupNotEmpty (it has members now), UnknownTopic, UnknownPartition, InvalidRequest.
        """
        try:
            request = group_pb2.ResetGroupRequest(group=name, topic=topic, partitions=partitions, to=position_of(to))
        except ValueError as error:
            raise InvalidRequest(f"{to!r} or one of {list(partitions)} is no such number: {error}") from error
        answer = await self._calls.call(
            RESET_GROUP, request.SerializeToString(), timeout_s=timeout_s, repeatable=False, doubt=UnknownGroup
        )
        return tuple(partition_view(part) for part in api.parse(group_pb2.ResetGroupResponse, answer).partitions)

    async def delete_group(self, name: str, *, timeout_s: float | None = None) -> None:
        """Forget a group with its positions, for good. UnknownGroup; GroupNotEmpty: it has members now."""
        request = group_pb2.DeleteGroupRequest(group=name).SerializeToString()
        await self._calls.call(DELETE_GROUP, request, timeout_s=timeout_s, repeatable=False, doubt=UnknownGroup)
