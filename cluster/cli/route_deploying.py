"""What `riverrun route` does with a cluster: the same as `riverrun app`, for what is in a route file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.cli import app
from cluster.cli.app_report import plain_app, print_app, print_apps, print_deployment
from cluster.cli.shared import json_option, print_json, server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client

SUFFIX = ".toml"
ABSENT = "no routes yet; riverrun route deploy FILE makes some"


def deploy_file(file: Path, servers: str, partitions: int, *, as_json: bool) -> None:
    """Deploy a file that was checked, and print what came of it."""
    content = file.read_bytes()

    async def work(client: "Client") -> None:
        deployed = await client.deploy_app(content, file_name=file.name, create_topics=True, partitions=partitions)
        if as_json:
            changes = [
                {"stage": name, "version": version, "change": str(change)}
                for (name, version), change in deployed.changes.items()
            ]
            print_json({**plain_app(deployed.app), "changes": changes, "topics_made": list(deployed.topics_made)})
        else:
            print_deployment(deployed, file.name)

    with_client(servers, work)


@click.command(name="list")
@server_option
@json_option
def list_all(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """List the route files that are deployed."""

    async def work(client: "Client") -> None:
        found = [one for one in await client.list_apps() if any(s.file_name.endswith(SUFFIX) for s in one.stages)]
        if as_json:
            print_json([plain_app(one) for one in found])
        elif not found:
            click.echo(ABSENT)
        else:
            print_apps(found)

    with_client(servers, work)


@click.command()
@click.argument("name")
@click.option("--tasks", is_flag=True, help="Each task for itself, too.")
@server_option
@json_option
def describe(name: str, tasks: bool, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show what the routes of a file do: how far they are, what they wait for, and what went wrong.

    NAME is the file's `name`, or what it is called without .toml. Lag in records is what waits to be delivered, in
    seconds how long the oldest of it has waited.
    """

    async def work(client: "Client") -> None:
        found = await client.describe_app(name)
        if as_json:
            print_json(plain_app(found))
        else:
            print_app(found, tasks=tasks)

    with_client(servers, work)


def _as_route(command: click.Command, name: str, help_: str) -> click.Command:
    """The app's command under the words of routes."""
    return click.Command(
        name, callback=command.callback, params=command.params, help=help_, short_help=help_.partition("\n")[0]
    )


COMMANDS = [
    list_all,
    describe,
    _as_route(app.pause, "pause", "Let a file's routes rest, or one of them: nothing is read until they are resumed."),
    _as_route(app.resume, "resume", "Let them go on where they were."),
    _as_route(
        app.remove,
        "remove",
        "Remove a file's routes, or one of them, with their cursors and positions, for good. What they wrote stays.",
    ),
    _as_route(app.redrive, "redrive", "Handle a route's dead letters again, those that there are now."),
]
