"""`riverrun topic`: create, list, describe, delete."""

from typing import TYPE_CHECKING, Any

import click

from cluster.cli.shared import counted, json_option, new_table, print_json, print_table, server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.offsets import PartitionOffsets
    from cluster.client.views import TopicView


@click.group(name="topic")
def command() -> None:
    """Create, list, describe and delete topics."""


@command.command()
@click.argument("name")
@click.option(
    "--partitions", default=0, help="How many; the cluster's default if not given. Fixed for the topic's life."
)
@click.option("--replicas", default=0, help="Copies of each partition; 3, or the number of nodes, if not given.")
@click.option("--if-absent", is_flag=True, help="Do not fail if it exists already with these numbers.")
@server_option
@json_option
def create(name: str, partitions: int, replicas: int, if_absent: bool, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Create a topic."""

    async def work(client: "Client") -> None:
        topic = await client.create_topic(name, partitions=partitions, replicas=replicas, if_absent=if_absent)
        if as_json:
            print_json(_plain(topic))
        else:
            size = f"{counted(len(topic.partitions), 'partition')} and {counted(topic.replicas, 'replica')}"
            click.echo(f"created topic {name} with {size}")

    with_client(servers, work)


@command.command(name="list")
@server_option
@json_option
def list_all(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """List the topics."""

    async def work(client: "Client") -> None:
        topics = await client.list_topics()
        if as_json:
            print_json([_plain(topic) for topic in topics])
            return
        if not topics:
            click.echo("no topics yet; riverrun topic create NAME makes one")
            return
        table = new_table("TOPIC", "PARTITIONS", "REPLICAS", "WITHOUT LEADER")
        for topic in topics:
            leaderless = sum(partition.leader is None for partition in topic.partitions)
            table.add_row(topic.name, str(len(topic.partitions)), str(topic.replicas), str(leaderless or "-"))
        print_table(table)

    with_client(servers, work)


@command.command()
@click.argument("name")
@server_option
@json_option
def describe(name: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show a topic's partitions: leaders, replicas, offsets."""

    async def work(client: "Client") -> None:
        topic = await client.describe_topic(name)
        offsets = await client.offsets(name)
        if as_json:
            print_json(_plain(topic, offsets))
            return
        click.echo(f"topic {topic.name}   id {topic.id.hex()}   {counted(topic.replicas, 'replica')}")
        table = new_table("PARTITION", "LEADER", "TERM", "REPLICAS", "FIRST", "END")
        for partition in topic.partitions:
            place = offsets[partition.number]
            nodes = " ".join(f"{r.node}{'' if r.initialised else '?'}" for r in partition.replicas)
            leader = str(partition.leader or "-")
            table.add_row(str(partition.number), leader, str(partition.term), nodes, str(place.first), str(place.end))
        print_table(table)

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_option
def delete(name: str, yes: bool, servers: str) -> None:  # noqa: FBT001
    """Delete a topic and its data, for good."""
    if not yes:
        click.confirm(f"delete topic {name} and everything in it?", abort=True)

    async def work(client: "Client") -> None:
        await client.delete_topic(name)
        click.echo(f"deleted topic {name}")

    with_client(servers, work)


def _plain(topic: "TopicView", offsets: "dict[int, PartitionOffsets] | None" = None) -> dict[str, Any]:
    partitions: list[dict[str, Any]] = []
    for partition in topic.partitions:
        plain: dict[str, Any] = {
            "partition": partition.number,
            "leader": partition.leader,
            "term": partition.term,
            "replicas": [replica.node for replica in partition.replicas],
        }
        if offsets is not None:
            plain |= {"first": offsets[partition.number].first, "end": offsets[partition.number].end}
        partitions.append(plain)
    return {"topic": topic.name, "id": topic.id.hex(), "replicas": topic.replicas, "partitions": partitions}
