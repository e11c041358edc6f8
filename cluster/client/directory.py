"""What this client knows about topics: looked up when first needed, again when a leader is missing.

A node that is cut off from the others answers, too, and knows no leader, or one that was: so whoever has to look again
and again asks another node after a while.
"""

import asyncio

from cluster.client.calls import Calls
from cluster.client.routing import LeaderSeen, TopicRoute
from cluster.config import ClientOptions
from cluster.errors import UnknownTopic
from cluster.wire import api

GET_TOPIC = "/riverrun.v1.TopicService/GetTopic"
LULL_S = 5.0
"""A topic that was not looked up for so long has a leader that answers."""


class Directory:
    """Routes by topic name. Two who ask for the same topic at the same time share one request."""

    def __init__(self, calls: Calls, options: ClientOptions) -> None:
        self._calls = calls
        self._age_s_max = options.metadata_age_s_max
        self._elsewhere_s = options.ask_elsewhere_s
        self._looked: dict[str, tuple[float, float]] = {}
        """Topics that are looked up again and again: since when, and when last."""
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

    def _look_again(self, topic: str) -> None:
        """Somebody looks the topic up: go to another node, if that has not helped for long enough."""
        now_s = asyncio.get_running_loop().time()
        since_s, last_s = self._looked.get(topic, (now_s, now_s))
        if now_s - last_s > LULL_S:
            since_s = now_s
        elif now_s - since_s >= self._elsewhere_s:
            self._calls.pass_over()
            since_s = now_s
        self._looked[topic] = (since_s, now_s)

    async def _ask(self, topic: str) -> TopicRoute:
        self._look_again(topic)
        request = api.topic_pb2.GetTopicRequest(name=topic).SerializeToString()
        try:
            answer = await self._calls.call(GET_TOPIC, request, repeatable=True, doubt=UnknownTopic)
        except UnknownTopic:
            self._routes.pop(topic, None)
            raise
        found = api.parse(api.topic_pb2.GetTopicResponse, answer)
        self._calls.name(found.metadata_version, found.nodes)
        return self.learn(found.topic)

    def learn(self, described: api.topic_pb2.Topic) -> TopicRoute:
        """A description of a topic arrived, asked for or not; whoever leads there can be asked for others, too."""
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
        self._calls.learn([partition.leader_address for partition in described.partitions if partition.leader_address])
        self._routes[described.name] = (route, asyncio.get_running_loop().time())
        return route

    def forget(self, topic: str) -> None:
        """The topic is gone; whoever asks next looks it up."""
        self._routes.pop(topic, None)
        self._looked.pop(topic, None)

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
