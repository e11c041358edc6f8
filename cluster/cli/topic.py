"""`riverrun topic`: create, alter, trim, list, describe, delete; `reassign` is in a file of its own."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.quantities import Duration, Size, as_duration, as_size
from cluster.cli.shared import (
    counted,
    json_option,
    make_sure,
    new_table,
    print_json,
    print_table,
    server_option,
    with_client,
)
from cluster.cli.topic_moving import reassign
from cluster.metadata import CONFIG_NAMES, TopicConfig

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.offsets import PartitionOffsets
    from cluster.client.views import TopicView


@click.group(name="topic")
def command() -> None:
    """Create, list, describe, change, move and delete topics."""


command.add_command(reassign)


def limit_options(function: Callable[..., None], *, new: bool = True) -> Callable[..., None]:
    """The options that say what is kept of a topic; of one that is not `new`, what is not given stays."""
    never, usually, a_day = (
        ("; never if not given", "; 1GiB if not given", "; 1d if not given") if new else ("", "", "")
    )
    for option in (
        click.option(
            "--tombstones",
            "tombstone",
            type=Duration(),
            metavar="TIME",
            help=f"With --compacted: a record that deletes its key stays so long, such as 12h{a_day}.",
        ),
        click.option(
            "--compacted",
            is_flag=True,
            default=None,
            help="Keep only the newest record of each key; one with an empty value deletes its key.",
        ),
        click.option(
            "--lagging-bytes",
            type=Size(),
            metavar="SIZE",
            help=f"A replica that is further behind is not waited for before records go{usually}.",
        ),
        click.option(
            "--retention-bytes",
            type=Size(),
            metavar="SIZE",
            help=f"The oldest records go while a partition takes more, such as 512MiB or 10GiB{never}.",
        ),
        click.option(
            "--retention",
            type=Duration(),
            metavar="TIME",
            help=f"Records go when they are older, such as 90s, 15m, 36h or 7d{never}.",
        ),
    ):
        function = option(function)
    return function


@command.command()
@click.argument("name")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    help="How many; the cluster's default if not given. Fixed for the topic's life.",
)
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    help="Copies of each partition; 3, or the number of nodes, if not given.",
)
@click.option("--if-absent", is_flag=True, help="Do not fail if it exists already with these numbers and limits.")
@limit_options
@server_option
@json_option
def create(
    name: str,
    partitions: int | None,
    replicas: int | None,
    if_absent: bool,  # noqa: FBT001
    retention: int | None,
    retention_bytes: int | None,
    lagging_bytes: int | None,
    compacted: bool | None,  # noqa: FBT001
    tombstone: int | None,
    servers: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Create a topic. It keeps everything, unless --retention, --retention-bytes or --compacted say otherwise.

    Records go by whole segments of a partition's log, so somewhat more than the limit stays.
    Of a compacted topic older records of a key go some time later; offsets stay as they are.
    """
    config = _config(retention, retention_bytes, lagging_bytes, compacted, tombstone)

    async def work(client: "Client") -> None:
        topic = await client.create_topic(
            name, partitions=partitions or 0, replicas=replicas or 0, if_absent=if_absent, config=config
        )
        if as_json:
            print_json(_plain(topic))
        else:
            size = f"{counted(len(topic.partitions), 'partition')} and {counted(topic.replicas, 'replica')}"
            click.echo(f"created topic {name} with {size}")

    with_client(servers, work)


@command.command()
@click.argument("name")
@partial(limit_options, new=False)
@click.option(
    "--unset",
    multiple=True,
    type=click.Choice(CONFIG_NAMES),
    help="Have no such limit any more; may be given again.",
)
@click.option("--replicas", type=click.IntRange(min=1), help="So many copies of each partition, as nodes allow.")
@server_option
@json_option
def alter(
    name: str,
    retention: int | None,
    retention_bytes: int | None,
    lagging_bytes: int | None,
    compacted: bool | None,  # noqa: FBT001
    tombstone: int | None,
    unset: tuple[str, ...],
    replicas: int | None,
    servers: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Change what is kept of a topic, which takes effect at once, on what is there as well; or how many copies.

    What is not named stays as it is; --unset takes a limit away.
    Copies are made and dropped by and by: riverrun cluster reassignments shows how far it is.
    """
    config = _config(retention, retention_bytes, lagging_bytes, compacted, tombstone)
    if config == TopicConfig() and not unset and not replicas:
        raise click.UsageError(
            "say what to change: --retention, --retention-bytes, --lagging-bytes, --compacted, --tombstones, "
            "--replicas or --unset"
        )

    async def work(client: "Client") -> None:
        topic = await client.alter_topic(name, config, unset=unset, replicas=replicas or 0)
        if as_json:
            print_json(_plain(topic))
        else:
            copies = f" and is to have {counted(topic.replicas, 'replica')}" if replicas else ""
            click.echo(f"topic {name} {_kept(topic.config)}{copies}")

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.option("--partition", type=click.IntRange(min=0), required=True, help="Of this partition.")
@click.option("--before", type=click.IntRange(min=0), required=True, metavar="OFFSET", help="The first that stays.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_option
def trim(name: str, partition: int, before: int, yes: bool, servers: str) -> None:  # noqa: FBT001
    """Delete the records of a partition below an offset, for good, on all replicas."""
    if not yes:
        make_sure(f"delete the records of {name}, partition {partition}, below offset {before}?")

    async def work(client: "Client") -> None:
        first = await client.delete_records(name, partition, before=before)
        click.echo(f"partition {partition} of {name} begins at offset {first}")

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
        click.echo(_kept(topic.config))
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
        make_sure(f"delete topic {name} and everything in it?")

    async def work(client: "Client") -> None:
        await client.delete_topic(name)
        click.echo(f"deleted topic {name}")

    with_client(servers, work)


def _config(
    retention: int | None,
    retention_bytes: int | None,
    lagging_bytes: int | None,
    compacted: bool | None,  # noqa: FBT001
    tombstone: int | None,
) -> TopicConfig:
    return TopicConfig(
        retention_ms=retention,
        retention_bytes=retention_bytes,
        lagging_bytes_max=lagging_bytes,
        compacted=compacted,
        tombstone_ms=tombstone,
    )


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
    return {
        "topic": topic.name,
        "id": topic.id.hex(),
        "replicas": topic.replicas,
        "config": {name: getattr(topic.config, name) for name in CONFIG_NAMES},
        "partitions": partitions,
    }


def _kept(config: TopicConfig) -> str:
    """What is kept, in words."""
    limits, rest = [], []
    if config.retention_ms is not None:
        limits.append(f"for {as_duration(config.retention_ms)}")
    if config.retention_bytes is not None:
        limits.append(f"up to {as_size(config.retention_bytes)} a partition")
    what = "records" if limits else "everything"
    if config.compacted:
        what = "the newest record of each key"
        rest.append(f"tombstones for {as_duration(config.tombstone_life_ms or 0)}")
    if config.lagging_bytes_max is not None:
        rest.append(f"waiting for replicas at most {as_size(config.lagging_bytes_max)} behind")
    return "keeps " + ", ".join([" ".join([what, ", ".join(limits)]).strip(), *rest])
