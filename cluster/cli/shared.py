"""What the client commands share: where the cluster is, and how to run something against it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.client.client import Client
    from cluster.config import ClientOptions, TlsOptions

_server = click.option(
    "--server",
    "servers",
    envvar="RIVERRUN_SERVER",
    default="127.0.0.1:7171",
    show_default=True,
    metavar="HOST:PORT[,…]",
    help="Nodes to ask; any one of them will do. RIVERRUN_SERVER says it, too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
Command = TypeVar("Command", bound=Callable[..., Any])
_TLS_FILES = "riverrun.tls"
_TLS = {
    "ca": "The CAs (PEM) that the nodes' certificates are signed by: speak TLS. RIVERRUN_TLS_CA says it, too.",
    "cert": "The certificate to show, where nodes want one. RIVERRUN_TLS_CERT says it, too.",
    "key": "The certificate's private key. RIVERRUN_TLS_KEY says it, too.",
}


def tls_options(command: Command) -> Command:
    """`--tls-ca`, `--tls-cert` and `--tls-key`: `tls_given` tells what they say."""
    for name, text in reversed(_TLS.items()):
        command = click.option(
            f"--tls-{name}",
            envvar=f"RIVERRUN_TLS_{name.upper()}",
            metavar="FILE",
            help=text,
            expose_value=False,
            callback=_keep,
        )(command)
    return command


def server_option(command: Command) -> Command:
    """`--server`, and how TLS is spoken with it."""
    return _server(tls_options(command))


def tls_given() -> "TlsOptions | None":
    """What the running command's options, or the environment, say of TLS; None: nothing."""
    from cluster.config import TlsOptions  # noqa: PLC0415

    files = click.get_current_context().meta.get(_TLS_FILES, {})
    return TlsOptions(**files) if files else None


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value:
        assert option.name is not None
        context.meta.setdefault(_TLS_FILES, {})[option.name.removeprefix("tls_") + "_file"] = value


LEFT = {"TOPIC", "ADDRESS", "STATE", "REPLICAS", "DETAIL", "GROUP", "CLIENT", "TOPICS"} | {
    "APP",
    "FROM",
    "LOOK-UPS",
    "ON ERROR",
    "ROUTE",
    "TO",
    "CHANGE",
    "CODE",
    "COUNTS",
    "POSITIONS",
    "PROCESSOR",
    "PROCESSORS",
    "RACK",
    "READS",
    "WRITES",
}
"""Columns of text."""
PIPE_COLUMNS = 1_000
"""Where nobody sees how wide a table is."""


def with_client(
    servers: str, work: "Callable[[Client], Awaitable[int | None]]", options: "ClientOptions | None" = None
) -> None:
    """Run `work` with a connected client; its result is the exit code."""
    from cluster import connect  # noqa: PLC0415  gRPC only when it is needed

    tls = tls_given()

    async def run() -> int:
        async with connect(servers, options=options, tls=tls) as client:
            return await work(client) or 0

    code = asyncio.run(run())
    if code:
        raise SystemExit(code)


def make_sure(question: str) -> None:
    """Ask before something is done for good; whoever does not say yes, or cannot be asked, is told that it is not."""
    try:
        sure = click.confirm(question)
    except click.Abort:  # Ctrl-C, or the end of standard input
        click.echo()
        sure = False
    if not sure:
        click.echo("riverrun: nothing was done; --yes does it without asking", err=True)
        raise SystemExit(1)


def counted(number: int, what: str) -> str:
    """A number of things, in words.

    >>> counted(1, "record"), counted(2_000, "record")
    ('1 record', '2,000 records')
    """
    return f"{number:,} {what}" + "s" * (number != 1)


def print_json(value: Any) -> None:
    """One document."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(table: "Table") -> None:
    """A table, as wide as the terminal; where there is none, whole: programs that read it look for words."""
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    console.print(table)


def new_table(*columns: str) -> "Table":
    """An empty table in the one style that we use."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in LEFT else "right")
    return table
