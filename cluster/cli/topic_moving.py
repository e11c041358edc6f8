"""`riverrun topic reassign`: partitions to other nodes."""

import asyncio
from typing import TYPE_CHECKING

import click

from cluster.cli.quantities import as_size
from cluster.cli.shared import server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client

LOOK_S = 0.5


@click.command()
@click.argument("name")
@click.argument("moves", nargs=-1, metavar="[PARTITION=NODE,NODE,…]…")
@click.option(
    "--cancel", is_flag=True, help="Have what moves go back, and stay there; name partitions, or none for all."
)
@click.option("--wait", is_flag=True, help="Return when they are there, and show how far they are.")
@server_option
def reassign(name: str, moves: tuple[str, ...], cancel: bool, wait: bool, servers: str) -> None:  # noqa: FBT001
    """Move partitions to other nodes, the first of which is to lead: riverrun topic reassign orders 0=4,1,2.

    There are as many nodes as the topic has replicas. Balance leaves them there afterwards.
    """
    if cancel:
        numbers = [_number(name, move) for move in moves]
    else:
        wanted = dict(_move(move) for move in moves)
        if len(wanted) < max(len(moves), 1):
            raise click.UsageError("say where each partition is to go, once, such as 0=1,2,3; or --cancel")
        numbers = list(wanted)

    async def work(client: "Client") -> None:
        if cancel:
            await client.cancel_reassignments(name, numbers)
            click.echo("what moves goes back")
        else:
            await client.reassign_partitions(name, wanted)
            click.echo("on the way" if wait else "on the way; riverrun cluster reassignments shows how far")
        if wait:
            await _arrived(client, name, set(numbers))
            click.echo("done")

    with_client(servers, work)


async def _arrived(client: "Client", name: str, numbers: set[int]) -> None:
    """Return when none of these partitions (none named: none of the topic) moves any more."""
    said = ""
    while True:
        found = await client.reassignments()
        left = [item for item in found.moving if item.topic == name and (not numbers or item.number in numbers)]
        if not left:
            return
        now = f"{len(left)} to go, {as_size(sum(item.behind_bytes or 0 for item in left))} behind"
        if now != said:
            click.echo(now)
            said = now
        await asyncio.sleep(LOOK_S)


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise click.UsageError(f"{text!r} is no partition of {name}")
    return int(text)


def _move(text: str) -> tuple[int, list[int]]:
    number, _, nodes = text.partition("=")
    parts = nodes.split(",")
    if not number.isdecimal() or not all(part.isdecimal() for part in parts):
        raise click.UsageError(f"{text!r} does not say where a partition is to go, such as 0=1,2,3")
    return int(number), [int(part) for part in parts]
