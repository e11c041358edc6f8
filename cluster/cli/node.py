"""`riverrun node`: one node in the foreground, until SIGTERM or Ctrl-C."""

from pathlib import Path

import click

from cluster.cli.log_choices import FORMATS, LEVELS


@click.command(name="node")
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The node's configuration (TOML).",
)
@click.option("--log-format", type=click.Choice(FORMATS), default="json", show_default=True, help="One event a line.")
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="And what is worse.")
def command(path: Path, log_format: str, log_level: str) -> None:
    """Run one node from a configuration file.

    A variable in the environment overrides a field, so that all nodes can share a file: RIVERRUN_NODE, and
    RIVERRUN_CLIENT_ADVERTISE for what the table [client] says. Lists, such as the peers, are said in the file only.

    It logs to standard output and stops cleanly on SIGTERM or Ctrl-C. Exit code 1: it refused to start, or its disk
    failed; the last line says why.
    """
    from cluster.cli.run_node import run_node  # noqa: PLC0415  gRPC and the world are imported only when a node runs

    raise SystemExit(run_node(path, log_format=log_format, log_level=log_level))
