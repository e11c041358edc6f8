"""`riverrun worker`: run the code of an app here, for tasks of the cluster's nodes."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress

import click

from cluster.cli.shared import tls_given, tls_options


@click.command(name="worker")
@click.argument("code", metavar="FILE[:APP]|MODULE:APP")
@click.option(
    "--connect",
    "servers",
    envvar="RIVERRUN_SERVER",
    default="127.0.0.1:7171",
    show_default=True,
    metavar="HOST:PORT[,…]",
    help="Nodes to ask for the others: it connects to all of them. RIVERRUN_SERVER says it, too.",
)
@tls_options
@click.option("--name", default="", help="What it is called in the nodes' messages.  [default: host and process]")
@click.option(
    "--any-code", is_flag=True, help="Serve the app whatever code was deployed; else only this very file's tasks."
)
def command(code: str, servers: str, name: str, *, any_code: bool) -> None:
    """Serve the tasks of an app that was deployed as external, until Ctrl-C.

    CODE is a Python file or wheel, or a module that can be imported from here: a module serves the app whatever code
    was deployed. There is one process for each node; it may do what you may, and has your environment. Start as many
    workers as you like: the nodes share their tasks out among them, and when one is lost, another goes on.
    """
    from cluster.config import WorkerOptions  # noqa: PLC0415  what follows takes a moment to import
    from cluster.node import VERSION  # noqa: PLC0415
    from cluster.real.external import ExternalWorker, served  # noqa: PLC0415
    from cluster.real.tls import client_tls  # noqa: PLC0415

    worker = ExternalWorker(
        served(code),
        servers,
        WorkerOptions(),
        name=name or f"{socket.gethostname()}/{os.getpid()}",
        version=VERSION,
        any_code=any_code,
        tls=client_tls(tls_given()),
        say=click.echo,
        log=lambda stream, line: click.echo(line, err=stream == "stderr"),
    )
    sys.exit(asyncio.run(_until_stopped(worker.run())))


async def _until_stopped(work: Coroutine[None, None, None]) -> int:
    """Exit code 0 when it was stopped."""
    running = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    return 0
