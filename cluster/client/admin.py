"""Topics and the cluster: requests that any node answers."""

from collections.abc import Sequence

from cluster.client.calls import GET_CLUSTER, Calls
from cluster.client.directory import GET_TOPIC, Directory
from cluster.client.views import ClusterView, TopicView, cluster_view, topic_view
from cluster.errors import InvalidRequest, UnknownTopic
from cluster.metadata import TopicConfig
from cluster.types import Offset
from cluster.wire import api
from cluster.wire.api import cluster_pb2, topic_pb2
from cluster.wire.policies import config_to_pb

CREATE_TOPIC = "/riverrun.v1.TopicService/CreateTopic"
LIST_TOPICS = "/riverrun.v1.TopicService/ListTopics"
ALTER_TOPIC = "/riverrun.v1.TopicService/AlterTopic"
DELETE_RECORDS = "/riverrun.v1.TopicService/DeleteRecords"
DELETE_TOPIC = "/riverrun.v1.TopicService/DeleteTopic"


class Admin:
    """Each call takes `timeout_s`; None is `ClientOptions.request_timeout_s`.

    Creating without `if_absent` and deleting are not repeated when their outcome is unknown: OutcomeUnknown or
    DeadlineExceeded says so, and `describe_topic` tells how it went. Other changes are repeated, and may be made twice;
    where one was perhaps made and is refused when it is repeated, the error is OutcomeUnknown, too.
    """

    def __init__(self, calls: Calls, directory: Directory) -> None:
        self._calls = calls
        self._directory = directory

    async def create_topic(
        self,
        name: str,
        *,
        partitions: int = 0,
        replicas: int = 0,
        if_absent: bool = False,
        config: TopicConfig | None = None,
        timeout_s: float | None = None,
    ) -> TopicView:
        """Make a topic; returns when its partitions have leaders. 0: the cluster's defaults. No `config`: all is kept.

        `if_absent`: one that is there with these numbers (replicas 0: any), and these limits if any are given, will do.
        Errors: TopicExists, InvalidRequest, Unavailable.
        """
        try:
            request = topic_pb2.CreateTopicRequest(
                name=name,
                partitions=partitions,
                replicas=replicas,
                if_absent=if_absent,
                config=config_to_pb(config or TopicConfig()),
            )
        except ValueError as error:
            raise InvalidRequest(
                f"{partitions} partitions or {replicas} replicas is no such number: {error}"
            ) from error
        answer = await self._calls.call(
            CREATE_TOPIC, request.SerializeToString(), timeout_s=timeout_s, repeatable=if_absent, changes=True
        )
        topic = api.parse(topic_pb2.CreateTopicResponse, answer).topic
        self._directory.learn(topic)
        return topic_view(topic)

    async def alter_topic(
        self,
        name: str,
        config: TopicConfig | None = None,
        *,
        unset: Sequence[str] = (),
        replicas: int = 0,
        timeout_s: float | None = None,
    ) -> TopicView:
        """Change what is kept, at once: what `config` sets; `unset` names fields of it that have no limit again.

        `replicas`: how many copies there are to be (0: as before); they are made and dropped by and by.
        Errors: UnknownTopic, InvalidRequest, NotEnoughNodes.
        """
        try:
            request = topic_pb2.AlterTopicRequest(
                name=name, config=config_to_pb(config or TopicConfig()), unset=unset, replicas=replicas
            )
        except ValueError as error:
            raise InvalidRequest(f"{replicas} replicas is no such number: {error}") from error
        answer = await self._calls.call(
            ALTER_TOPIC,
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=UnknownTopic,
            changes=True,
        )
        topic = api.parse(topic_pb2.AlterTopicResponse, answer).topic
        self._directory.learn(topic)
        return topic_view(topic)

    async def delete_records(
        self, topic: str, partition: int, *, before: int, timeout_s: float | None = None
    ) -> Offset:
        """Delete a partition's records below an offset for good; the first that is left. Repeated if need be.

        Errors: UnknownTopic, UnknownPartition, InvalidRequest, OffsetOutOfRange (beyond the end).
        """
        try:
            request = topic_pb2.DeleteRecordsRequest(topic=topic, partition=partition, before=before)
        except ValueError as error:
            raise InvalidRequest(f"partition {partition} or offset {before} is no such number: {error}") from error
        answer = await self._calls.call(
            DELETE_RECORDS,
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=UnknownTopic,
            changes=True,
        )
        return Offset(api.parse(topic_pb2.DeleteRecordsResponse, answer).first)

    async def describe_topic(self, name: str, *, timeout_s: float | None = None) -> TopicView:
        """One topic with its partitions, leaders and replicas. UnknownTopic if every node says so."""
        request = topic_pb2.GetTopicRequest(name=name).SerializeToString()
        answer = await self._calls.call(GET_TOPIC, request, timeout_s=timeout_s, repeatable=True, doubt=UnknownTopic)
        found = api.parse(topic_pb2.GetTopicResponse, answer)
        self._calls.name(found.metadata_version, found.nodes)
        self._directory.learn(found.topic)
        return topic_view(found.topic)

    async def list_topics(self, *, timeout_s: float | None = None) -> tuple[TopicView, ...]:
        """All topics by name."""
        found: list[TopicView] = []
        request = topic_pb2.ListTopicsRequest()
        while True:
            answer = await self._calls.call(
                LIST_TOPICS, request.SerializeToString(), timeout_s=timeout_s, repeatable=True
            )
            page = api.parse(topic_pb2.ListTopicsResponse, answer)
            found += [topic_view(topic) for topic in page.topics]
            if not page.next_page_token:
                return tuple(found)
            request.page_token = page.next_page_token

    async def delete_topic(self, name: str, *, timeout_s: float | None = None) -> None:
        """Remove a topic and its data for good. UnknownTopic if there is none."""
        request = topic_pb2.DeleteTopicRequest(name=name).SerializeToString()
        await self._calls.call(DELETE_TOPIC, request, timeout_s=timeout_s, repeatable=False, doubt=UnknownTopic)
        self._directory.forget(name)

    async def cluster_status(self, *, timeout_s: float | None = None) -> ClusterView:
        """The nodes, the controller and the cluster's health; the client asks those nodes from now on."""
        request = cluster_pb2.GetClusterRequest().SerializeToString()
        answer = await self._calls.call(GET_CLUSTER, request, timeout_s=timeout_s, repeatable=True)
        view = cluster_view(api.parse(cluster_pb2.GetClusterResponse, answer))
        self._calls.name(view.metadata_version, [node.client_address for node in view.nodes])
        return view
