"""The log: producers, appenders on condition and readers of one topic, perhaps somebody who deletes or remakes topics.

Every value is sent once, so that each record says where it came from. In the end everything is read, and of some
records every replica's disk; the checkers judge what was said.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.copies import check_copies
from chaos.checkers.lives import check_lives
from chaos.checkers.log import check_log
from chaos.checkers.publishes import check_publishes
from chaos.checkers.replicas import check_replicas, copies_in
from chaos.history import Event, History
from chaos.workloads.appending import append_on_condition
from chaos.workloads.deleting import delete_now_and_then
from chaos.workloads.load import Load, LogPlan
from chaos.workloads.producing import Producing
from chaos.workloads.reading import follow, read_all
from chaos.workloads.remaking import remake
from cluster.client.client import Client


class LogWorkload:
    """Sends and reads of one topic."""

    name: ClassVar[str] = "log"
    options: ClassVar[Mapping[str, Any]] = LogPlan().to_options()

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None:
        self.load = Load(arena, history, LogPlan.of(self.options, options), self.name)

    @property
    def topics(self) -> Sequence[str]:
        """The one; what is remade is gone."""
        return [self.load.topic]

    async def prepare(self) -> None:
        """The topic."""
        client = self.load.client("admin")
        await self.make_topic(client)
        await client.abandon()

    async def make_topic(self, client: Client) -> None:
        """The topic, by a client that is there."""
        plan = self.load.plan
        await client.create_topic(
            self.load.topic, partitions=plan.partitions, replicas=plan.replicas, config=plan.config
        )

    async def run(self) -> None:
        """All clients, until each has stopped; the first that raises ends the run."""
        async with asyncio.TaskGroup() as tasks:
            for client in [*self.senders(), *self.others()]:
                tasks.create_task(client)

    def senders(self) -> list[Coroutine[Any, Any, None]]:
        """Who adds records: not begun yet."""
        load, plan = self.load, self.load.plan
        return [
            *(Producing(load, number).run() for number in range(plan.producers)),
            *(append_on_condition(load, number) for number in range(plan.appenders)),
        ]

    def others(self) -> list[Coroutine[Any, Any, None]]:
        """Everybody else: not begun yet."""
        load, plan = self.load, self.load.plan
        return [
            *([delete_now_and_then(load)] if plan.deletes_every_s else []),
            *([remake(load, plan.remakes)] if plan.remakes else []),
            *(follow(load, number) for number in range(plan.readers)),
        ]

    def stop(self) -> None:
        """No more operations begin."""
        self.load.stopping = True

    async def finish(self) -> None:
        """Everything there is, read with a fresh client."""
        await read_all(self.load)

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """Everything that is wrong with the topic."""
        plan = LogPlan.of(cls.options, options)
        found = check_log(
            events,
            retention=plan.has_retention,
            compacted=plan.is_compacted,
            tombstone_s=plan.tombstone_s,
            replicas=plan.replicas,
        )
        copies = copies_in(events)
        if copies:
            found += check_replicas(
                copies, events, replicas=plan.replicas, retention=plan.has_retention, compacted=plan.is_compacted
            )
        if plan.no_failures:
            found += check_publishes(events)
        return [*found, *check_lives(events), *check_copies(events, retention=plan.has_retention)]
