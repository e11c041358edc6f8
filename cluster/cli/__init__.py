"""`riverrun …`: the only place that picks the real world.

Commands are imported when they are called, so that `riverrun --help` is quick. Exit codes: 0 done; 1 the cluster
refused or could not do it (the message says why and what next); 2 the command line is wrong; 130 interrupted.
"""

import difflib
import importlib
import os
import sys

import click

from cluster.errors import RiverrunError

COMMANDS = {
    "dev": ("cluster.cli.dev", "Run a local cluster in the foreground."),
    "node": ("cluster.cli.node", "Run one node from a configuration file."),
    "health": ("cluster.cli.health", "Ask the node that runs here whether it lives, or is ready."),
    "topic": ("cluster.cli.topic", "Create, list, describe, change, move and delete topics."),
    "produce": ("cluster.cli.produce", "Publish lines or CSV rows to a topic."),
    "consume": ("cluster.cli.consume", "Read a topic, alone or as a member of a group."),
    "group": ("cluster.cli.group", "Look at groups, set their positions anew, delete them."),
    "app": ("cluster.cli.app", "Deploy apps, look at them, pause, remove and redrive them."),
    "route": ("cluster.cli.route", "Check, test and deploy route files."),
    "verify": ("cluster.cli.verify", "Check on every replica's disk that a record is there."),
    "explain": ("cluster.cli.explain", "Say who waits for whom, why, and what to do."),
    "worker": ("cluster.cli.worker", "Run an app's code here, for the cluster's tasks."),
    "cluster": ("cluster.cli.cluster", "Look at the cluster, add, drain, replace and remove nodes."),
}
HINTS = {
    "UNKNOWN_TOPIC": "riverrun topic list shows those that there are",
    "UNKNOWN_GROUP": "riverrun group list shows those that there are",
}
"""What helps, by the reason of an error."""


class _Lazy(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            meant = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean {meant[0]!r}?" if meant else ""
            ctx.fail(f"No such command {cmd_name!r}.{hint}")
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="riverrun")
def riverrun() -> None:
    """riverrun: an event-streaming cluster. An acknowledged event is on a majority's disks."""


def main() -> None:
    """The command's entry."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it tells of each failed handshake, in lines of its own kind
    try:
        riverrun(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except RiverrunError as error:
        hint = HINTS.get(error.reason, "")
        click.echo(f"riverrun: {error.message}" + (f"; {hint}" if hint else ""), err=True)
        sys.exit(1)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
