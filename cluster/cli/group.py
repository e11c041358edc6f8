"""`riverrun group`: list, describe, reset, delete."""

from typing import TYPE_CHECKING, Any

import click

from cluster.cli.places import place_of
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

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.group_views import GroupPartitionView, GroupView


@click.group(name="group")
def command() -> None:
    """Look at groups, set their positions anew, delete them.

    A group is made by its first member: riverrun consume TOPIC --group NAME, or subscribe in a program.
    """


@command.command(name="list")
@server_option
@json_option
def list_all(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """List the groups."""

    async def work(client: "Client") -> None:
        groups = await client.list_groups()
        if as_json:
            print_json([_plain(group) for group in groups])
            return
        if not groups:
            click.echo("no groups yet; riverrun consume TOPIC --group NAME makes one")
            return
        table = new_table("GROUP", "MEMBERS", "COORDINATOR", "TOPICS")
        for group in groups:
            topics = sorted({topic for member in group.members for topic in member.topics})
            table.add_row(group.name, str(len(group.members)), str(group.coordinator), " ".join(topics) or "-")
        print_table(table)

    with_client(servers, work)


@command.command()
@click.argument("name")
@server_option
@json_option
def describe(name: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show a group's members, who holds which partition, positions and lag.

    Lag in records is the partition's end minus the group's position; in seconds it is how long ago the record at the
    position was appended. A member that is away keeps what it holds for its grace.
    """

    async def work(client: "Client") -> None:
        group = await client.describe_group(name)
        if as_json:
            partitions = [_plain_partition(part) for part in group.partitions]
            print_json(_plain(group) | {"partitions": partitions} | _lag(group))
            return
        click.echo(
            f"group {group.name}   {counted(len(group.members), 'member')}   generation {group.generation}   "
            f"coordinator: node {group.coordinator}"
        )
        if group.members:
            table = new_table("MEMBER", "STATE", "CLIENT", "TOPICS")
            for member in group.members:
                state = "connected" if member.connected else "away"
                table.add_row(str(member.id), state, member.client or "-", " ".join(member.topics) or "-")
            print_table(table)
        _print_partitions(group.partitions)
        click.echo(_total(group))

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.option("--topic", required=True, help="The topic whose positions are set.")
@click.option("--to", required=True, metavar="earliest|latest|OFFSET|TIME", help="Where the group goes on.")
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    type=click.IntRange(min=0),
    help="Only this one; may be given again. All of them if not given.",
)
@server_option
@json_option
def reset(
    name: str,
    topic: str,
    to: str,
    partitions: tuple[int, ...],
    servers: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Set the positions of a group that has no members now: to begin anew, or to skip.

    TIME is ISO 8601, such as 2026-01-31T08:00:00Z. An offset that a partition does not have becomes the nearest one
    that it has. What the positions were is shown, so that it can be undone.
    """
    place = place_of(to)

    async def work(client: "Client") -> None:
        before = await client.describe_group(name)
        were = {part.partition: part.position for part in before.partitions if part.topic == topic}
        now = await client.reset_group(name, topic, place, partitions=partitions)
        if as_json:
            print_json([_plain_partition(part) | {"was": were.get(part.partition)} for part in now])
            return
        click.echo(f"group {name} has new positions in {counted(len(now), 'partition')} of {topic}")
        table = new_table("PARTITION", "WAS", "POSITION", "END", "LAG RECORDS")
        for part in now:
            was = _shown(were.get(part.partition))
            numbers = (part.position, part.end, part.lag_records)
            table.add_row(str(part.partition), was, *(_shown(number) for number in numbers))
        print_table(table)

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_option
def delete(name: str, yes: bool, servers: str) -> None:  # noqa: FBT001
    """Forget a group that has no members now, with its positions, for good."""
    if not yes:
        make_sure(f"delete group {name} and its positions?")

    async def work(client: "Client") -> None:
        await client.delete_group(name)
        click.echo(f"deleted group {name}")

    with_client(servers, work)


def _print_partitions(partitions: "tuple[GroupPartitionView, ...]") -> None:
    table = new_table("TOPIC", "PARTITION", "MEMBER", "POSITION", "END", "LAG RECORDS", "LAG SECONDS")
    for part in partitions:
        numbers = (part.partition, part.member, part.position, part.end, part.lag_records)
        table.add_row(part.topic, *(_shown(number) for number in numbers), _seconds(part.lag_ms))
    print_table(table)


def _total(group: "GroupView") -> str:
    said = f"lag: {counted(group.lag_records, 'record')} in {counted(len(group.partitions), 'partition')}"
    if group.lag_records:
        said += f", the oldest {_seconds(group.lag_ms)} s old"
    unknown = f"; of {counted(group.lag_unknown, 'partition')} it is not known" if group.lag_unknown else ""
    return said + unknown


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _seconds(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1_000:.1f}"


def _plain(group: "GroupView") -> dict[str, Any]:
    return {
        "group": group.name,
        "coordinator": group.coordinator,
        "generation": group.generation,
        "members": [
            {
                "member": member.id,
                "client": member.client,
                "topics": list(member.topics),
                "connected": member.connected,
            }
            for member in group.members
        ],
    }


def _plain_partition(part: "GroupPartitionView") -> dict[str, Any]:
    return {
        "topic": part.topic,
        "partition": part.partition,
        "member": part.member,
        "generation": part.generation,
        "position": part.position,
        "end": part.end,
        "lag_records": part.lag_records,
        "lag_ms": part.lag_ms,
    }


def _lag(group: "GroupView") -> dict[str, int]:
    return {"lag_records": group.lag_records, "lag_ms": group.lag_ms, "partitions_of_unknown_lag": group.lag_unknown}
