"""Which partition of the internal topic keeps a group, and commands for it."""

import asyncio
import re

import google_crc32c

from cluster.broker.broker import Broker
from cluster.broker.groups import commands
from cluster.broker.groups.commands import Answer, Command
from cluster.broker.requests import Command as ReplicaCommand
from cluster.broker.running import Running
from cluster.errors import REASONS, InvalidRequest, NotLeader, RiverrunError, UnknownGroup
from cluster.metadata import Topic
from cluster.types import PartitionId

GROUPS_TOPIC = "__groups"
NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_name(group: str) -> None:
    """InvalidRequest if no group can have that name."""
    if not NAME.fullmatch(group):
        raise InvalidRequest(f"{group!r} is no group name: 1 to 249 of a-z A-Z 0-9 . _ -")


def groups_topic(broker: Broker) -> Topic | None:
    """The internal topic, if there is one yet. Unavailable on a node that starts."""
    broker.directory.check_informed()
    return broker.directory.by_name.get(GROUPS_TOPIC)


def home_of(topic: Topic, group: str) -> PartitionId:
    """The partition that keeps a group: spread by name, so that the nodes share the work."""
    return PartitionId(topic.id, int(google_crc32c.value(group.encode())) % len(topic.partitions))


def home_here(broker: Broker, group: str) -> Running:
    """The replica that leads the group's partition. NotLeader: it is not here. UnknownGroup: there are no groups."""
    topic = groups_topic(broker)
    if topic is None:
        raise UnknownGroup(f"there is no group {group!r}")
    running = broker.running.get(home_of(topic, group))
    if running is None:
        raise NotLeader(f"node {broker.me} does not keep the group {group!r}")
    if not running.replica.raft.is_leader:
        raise running.replica.not_leader()
    return running


async def propose(running: Running, command: Command) -> "asyncio.Future[Answer]":
    """Put a command into the replica's mailbox; the future has its answer when it is committed."""
    reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    await running.tell(ReplicaCommand(commands.encode(command), reply))
    return reply


async def decide(running: Running, command: Command) -> Answer:
    """The same, waited for; what the state refused is raised."""
    return answered(await (await propose(running, command)))


def answered(answer: Answer) -> Answer:
    """The answer; what the state refused is raised."""
    if answer.reason:
        raise refusal(answer)
    return answer


def refusal(answer: Answer) -> RiverrunError:
    """The error that the state gave as an answer."""
    return REASONS[answer.reason](answer.message)
