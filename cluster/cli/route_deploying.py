"""What `riverrun route` does with a cluster: the same as `riverrun app`, for what is in a route file."""

from typing import TYPE_CHECKING

import click

from cluster.cli import app
from cluster.cli.app_report import plain_app, print_apps
from cluster.cli.shared import json_option, print_json, server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client

SUFFIX = ".toml"
ABSENT = "no routes yet; riverrun route deploy FILE makes some"


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


def _as_route(command: click.Command, name: str, help_: str) -> click.Command:
    """The app's command under the words of routes."""
    return click.Command(
        name, callback=command.callback, params=command.params, help=help_, short_help=help_.partition("\n")[0]
    )


COMMANDS = [
    list_all,
    _as_route(
        app.describe, "describe", "Show what a file's routes do: how far they are, what they wait for, what went wrong."
    ),
    _as_route(app.pause, "pause", "Let a file's routes rest, or one of them: nothing is read until they are resumed."),
    _as_route(app.resume, "resume", "Let them go on where they were."),
    _as_route(
        app.remove,
        "remove",
        "Remove a file's routes, or one of them, with their cursors and positions, for good. What they wrote stays.",
    ),
    _as_route(app.redrive, "redrive", "Handle a route's dead letters again, those that there are now."),
]
