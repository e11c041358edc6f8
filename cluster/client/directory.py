"""What this client knows about topics: looked up when first needed, again when a leader is missing."""

import asyncio

from cluster.client.calls import Calls
from cluster.client.routing import LeaderSeen, TopicRoute
from cluster.config import ClientOptions
from cluster.errors import UnknownTopic
from cluster.wire import api

GET_TOPIC = "/riverrun.v1.TopicService/GetTopic"


class Directory:
    """Routes by topic name. Two who ask for the same topic at the same time share one request."""

    def __init__(self, calls: Calls, options: ClientOptions) -> None:
        self._calls = calls
        self._age_s_max = options.metadata_age_s_max
        self._routes: dict[str, tuple[TopicRoute, float]] = {}
        self._asking: dict[str, asyncio.Task[TopicRoute]] = {}

    async def route(self, topic: str) -> TopicRoute:
        """The topic's route, as known or looked up. UnknownTopic if every node says so."""
        known = self._routes.get(topic)
        if known is not None and asyncio.get_running_loop().time() - known[1] < self._age_s_max:
            return known[0]
        return await self.refresh(topic)

    async def refresh(self, topic: str) -> TopicRoute:
        """Look the topic up now. Its route object stays the same one as long as the topic does."""
        task = self._asking.get(topic)
        if task is None:
            task = asyncio.create_task(self._ask(topic), name=f"look up {topic}")
            self._asking[topic] = task
            task.add_done_callback(lambda _: self._asking.pop(topic, None))
        return await asyncio.shield(task)

    async def _ask(self, topic: str) -> TopicRoute:
        request = api.topic_pb2.GetTopicRequest(name=topic).SerializeToString()
        known = self._routes.get(topic)
        if known is not None and not known[0].is_whole:
            # Whoever was asked last did not help: a node that is cut off from the others names nobody, or always the
            # same one, for as long as that lasts, and answers its clients.
            self._calls.ask_another()
        try:
            answer = await self._calls.call(GET_TOPIC, request, repeatable=True, doubt=UnknownTopic)
        except UnknownTopic:
            self._routes.pop(topic, None)
            raise
        return self.learn(api.parse(api.topic_pb2.GetTopicResponse, answer).topic)

    def learn(self, described: api.topic_pb2.Topic) -> TopicRoute:
        """A description of a topic arrived, asked for or not."""
        known = self._routes.get(described.name)
        if known is not None and known[0].topic_id == described.id:
            route = known[0]
        else:
            route = TopicRoute(described.name, described.id, len(described.partitions), described.partitioner_version)
        route.learn(
            [
                LeaderSeen(partition=partition.number, address=partition.leader_address, term=partition.term)
                for partition in described.partitions
            ]
        )
        self._routes[described.name] = (route, asyncio.get_running_loop().time())
        return route

    def forget(self, topic: str) -> None:
        """The topic is gone; whoever asks next looks it up."""
        self._routes.pop(topic, None)

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
