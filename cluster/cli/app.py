"""`riverrun app`: deploy, list, describe, pause, resume, remove, redrive."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.app_report import plain_app, print_app, print_apps, print_deployment
from cluster.cli.shared import counted, json_option, make_sure, print_json, server_option, with_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.client.app_views import AppView
    from cluster.client.client import Client

PROCESSOR = re.compile(r"(?P<name>[^@]+)(@(?P<version>[1-9]\d{0,8}))?")


@click.group(name="app")
def command() -> None:
    """Deploy apps, and look after them.

    An app is a Python file or a wheel with processors in it; see the README. The cluster runs it, and keeps it.
    """


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--app", "app", default="", metavar="NAME", help="What the app is called in the file, if it has several.")
@click.option("--create-topics", is_flag=True, help="Make the topics and tables that it reads, where they are missing.")
@click.option("--partitions", default=0, help="Of topics that are made; the cluster's default if not given.")
@click.option("--external", is_flag=True, help="The code runs in workers that connect: riverrun worker.")
@server_option
@json_option
def deploy(
    file: Path,
    app: str,
    create_topics: bool,  # noqa: FBT001
    partitions: int,
    external: bool,  # noqa: FBT001
    servers: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Run the app in FILE, or give new code to what runs of it.

    A processor that is deployed already, under the same name and version, goes on where it is with the new code; under
    a new version it begins anew, beside the old one. What is not in FILE any more goes on until it is removed.
    Topics that the app writes are made where they are missing.
    """
    deploy_file(
        file,
        servers,
        as_json=as_json,
        app=app,
        external=external,
        create_topics=create_topics,
        partitions=partitions,
    )


def deploy_file(file: Path, servers: str, *, as_json: bool, **options: Any) -> None:
    """Deploy what is in a file, and print what came of it. `options`: of `Client.deploy_app`."""
    content = file.read_bytes()

    async def work(client: "Client") -> None:
        deployed = await client.deploy_app(content, file_name=file.name, **options)
        if as_json:
            changes = [
                {"stage": name, "version": version, "change": str(change)}
                for (name, version), change in deployed.changes.items()
            ]
            print_json({**plain_app(deployed.app), "changes": changes, "topics_made": list(deployed.topics_made)})
        else:
            print_deployment(deployed, file.name)

    with_client(servers, work)


@command.command(name="list")
@server_option
@json_option
def list_all(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """List the apps."""

    async def work(client: "Client") -> None:
        apps = await client.list_apps()
        if as_json:
            print_json([plain_app(app) for app in apps])
        elif not apps:
            click.echo("no apps yet; riverrun app deploy FILE makes one")
        else:
            print_apps(apps)

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.option("--tasks", is_flag=True, help="Each task for itself, too.")
@server_option
@json_option
def describe(name: str, tasks: bool, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show what an app does: its processors, how far they are, and what went wrong.

    Lag in records is what waits to be read, in seconds how long the oldest of it has waited. IN/S and OUT/S are records
    of the last ten seconds. The watermark is the event time up to which inputs are taken to be whole: windows that end
    before it are closed.
    """

    async def work(client: "Client") -> None:
        app = await client.describe_app(name)
        if as_json:
            print_json(plain_app(app))
        else:
            print_app(app, tasks=tasks)

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.argument("processor", default="", metavar="[PROCESSOR[@VERSION]]")
@server_option
def pause(name: str, processor: str, servers: str) -> None:
    """Let an app rest, or one of its processors: nothing is read until it is resumed, and nothing is lost."""
    which, version = _parsed(processor)

    async def work(client: "Client") -> None:
        app = await client.pause_app(name, which, version)
        click.echo(f"paused {', '.join(_processors(app, which, version))} of {name}")

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.argument("processor", default="", metavar="[PROCESSOR[@VERSION]]")
@server_option
def resume(name: str, processor: str, servers: str) -> None:
    """Let it go on where it was: what was paused, and what has stopped.

    What stopped at an error tries again. What stopped because a topic was deleted goes on with the topic that has its
    name now, from its start, and with the state that it had; an input must have as many partitions as before.
    """
    which, version = _parsed(processor)

    async def work(client: "Client") -> int:
        app = await client.resume_app(name, which, version)
        click.echo(f"resumed {', '.join(_processors(app, which, version))} of {name}")
        unasked = [(stage, task) for stage in app.stages for task in stage.tasks if task.why]
        for stage, task in unasked:
            click.echo(
                f"riverrun: {stage.name}@{stage.version}, task {task.number}, was not told: {task.why}", err=True
            )
        return 1 if unasked else 0

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.argument("processor", default="", metavar="[PROCESSOR[@VERSION]]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_option
def remove(name: str, processor: str, yes: bool, servers: str) -> None:  # noqa: FBT001
    """Remove an app, or one of its processors, with state and positions, for good. The topics that it wrote stay."""
    which, version = _parsed(processor)
    if not yes:
        what = f"{processor} of {name}" if processor else f"the app {name}"
        make_sure(f"remove {what}, with its state and its positions?")

    async def work(client: "Client") -> None:
        removed = await client.remove_app(name, which, version)
        click.echo(f"removed {', '.join(f'{stage}@{number}' for stage, number in removed)} of {name}")

    with_client(servers, work)


@command.command()
@click.argument("name")
@click.argument("processor", metavar="PROCESSOR[@VERSION]")
@server_option
@json_option
def redrive(name: str, processor: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Handle a processor's dead letters again, those that there are now: after other code was deployed.

    Once begun it goes on by itself, whatever happens to nodes; riverrun app describe says how many are left. Each
    letter is handled once, and a redrive that is asked for again begins behind those that were handled.
    """
    which, version = _parsed(processor)

    async def work(client: "Client") -> int:
        tasks = await client.redrive_app(name, which, version)
        failed = [task for task in tasks if task.error]
        if as_json:
            print_json(
                [
                    {
                        "stage": task.stage,
                        "version": task.version,
                        "task": task.task,
                        "records": task.records,
                        "error": task.error,
                    }
                    for task in tasks
                ]
            )
        else:
            records = sum(task.records for task in tasks)
            begun = len(tasks) - len(failed)
            click.echo(
                f"{counted(records, 'dead letter')} of {which} will be handled again, by {counted(begun, 'task')}"
                + (f"; riverrun app describe {name} says how many are left" if records else "")
            )
            for task in failed:
                click.echo(f"riverrun: {task.stage}@{task.version}, task {task.task}: {task.error}", err=True)
        return 1 if failed else 0

    with_client(servers, work)


def _parsed(processor: str) -> tuple[str, int]:
    """Name and version; 0: all."""
    if not processor:
        return "", 0
    match = PROCESSOR.fullmatch(processor)
    if match is None:
        raise click.UsageError(f"{processor!r} is not PROCESSOR or PROCESSOR@VERSION, such as fraud@2")
    return match["name"], int(match["version"] or 0)


def _processors(app: "AppView", which: str, version: int) -> "Sequence[str]":
    found = (
        f"{stage.processor}@{stage.version}"
        for stage in app.stages
        if which in {"", stage.processor} and version in {0, stage.version}
    )
    return list(dict.fromkeys(found))
