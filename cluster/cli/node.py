"""`riverrun node`: one node in the foreground, until SIGTERM or Ctrl-C."""

from pathlib import Path

import click


@click.command(name="node")
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The node's configuration (TOML).",
)
def command(path: Path) -> None:
    """Run one node from a configuration file.

    A variable in the environment overrides a field, so that all nodes can share a file: RIVERRUN_NODE, and
    RIVERRUN_CLIENT_ADVERTISE for what the table [client] says. Lists, such as the peers, are said in the file only.

    It logs to standard output and stops cleanly on SIGTERM or Ctrl-C. Exit code 1: it refused to start, or its disk
    failed; the last line says why.
    """
    from cluster.cli.run_node import run_node  # noqa: PLC0415  gRPC and the world are imported only when a node runs

    raise SystemExit(run_node(path))
