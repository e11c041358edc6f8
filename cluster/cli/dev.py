"""`riverrun dev`: a local cluster in the foreground, one process a node."""

import asyncio
import signal
from pathlib import Path

import click

from cluster.cli.dev_apps import DevApps
from cluster.cli.local import LocalCluster
from cluster.cli.shared import counted
from cluster.config import Speaks, TlsOptions
from cluster.errors import RiverrunError, Unavailable

READY_S_MAX = 30.0
LOOK_S = 0.5


@click.command(name="dev")
@click.option("--nodes", default=3, show_default=True, help="How many nodes.")
@click.option(
    "--data-dir",
    default=Path("riverrun-data"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept; the same directory starts the same cluster again.",
)
@click.option(
    "--port",
    default=7171,
    show_default=True,
    help="Clients' port of the first node; the others follow. HTTP: 200 above.",
)
@click.option(
    "--app",
    "apps",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run the app in FILE, and its new code whenever FILE is written; its topics are made. Can be repeated.",
)
@click.option(
    "--routes",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run the routes in FILE (TOML), in the same way. Can be repeated.",
)
@click.option(
    "--partitions",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of topics that are made for --app and --routes.",
)
@click.option(
    "--tls",
    "speaks",
    is_flag=False,
    flag_value="tls",
    default=None,
    type=click.Choice(["tls", "mutual"]),
    metavar="[tls|mutual]",
    help="Speak TLS, with throw-away certificates; mutual: and take only clients that show one.",
)
def command(
    nodes: int,
    data_dir: Path,
    port: int,
    apps: tuple[Path, ...],
    routes: tuple[Path, ...],
    partitions: int,
    speaks: Speaks | None,
) -> None:
    """Run a local cluster in the foreground.

    Ctrl-C stops it; its data stays and the next start continues with it. What apps and routes find in the environment
    (secrets, such as ${PASSWORD}) is that of this command.
    """
    local = LocalCluster(data_dir, nodes=nodes, port=port, host_environment=("*",), speaks=speaks or "plain")
    local.check_ports()
    look_after = DevApps((*apps, *routes), local.address(1), partitions, local.tls)
    raise SystemExit(asyncio.run(_run(local, look_after)))


async def _run(local: LocalCluster, apps: DevApps) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last: its terminal was closed
        loop.add_signal_handler(number, stop.set)
    click.echo(f"riverrun dev: starting {counted(len(local.nodes), 'node')}, data in {local.data_dir}")
    local.start_all()
    try:
        if not await _started(local, stop):
            return 1
        for node in local.nodes:
            click.echo(
                f"  node {node}   {local.address(node)}   {local.http_url(node)}   "
                f"pid {local.pid(node)}   log {local.log_path(node)}"
            )
        click.echo(f"ready: clients connect to {local.address(1)} (any node will do); Ctrl-C stops the cluster")
        if local.tls is not None:
            _tell_tls(local, local.tls)
        return await _watch(local, apps, stop)
    finally:
        click.echo("stopping …")
        codes = local.stop()
        click.echo("stopped" if not any(codes.values()) else f"stopped; exit codes {codes}")


def _tell_tls(local: LocalCluster, tls: TlsOptions) -> None:
    """How to connect."""
    click.echo(
        "TLS, for riverrun …, connect(…) and connect_blocking(…) in another shell:\n"
        f"  export RIVERRUN_TLS_CA={tls.ca_file} RIVERRUN_TLS_CERT={tls.cert_file} RIVERRUN_TLS_KEY={tls.key_file}\n"
        f"  curl --cacert {tls.ca_file} --cert {tls.cert_file} --key {tls.key_file} "
        f"{local.http_url(1)}/readyz"
    )


async def _started(local: LocalCluster, stop: asyncio.Event) -> bool:
    """Whether the cluster answers; says what went wrong if not."""
    waiting = asyncio.create_task(wait_ready(local))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not waiting.done():
        waiting.cancel()
        return False
    try:
        waiting.result()
    except RiverrunError as error:
        click.echo(f"riverrun: {error.message}", err=True)
        return False
    return True


async def wait_ready(local: LocalCluster, *, nodes: list[int] | None = None, within_s: float = READY_S_MAX) -> None:
    """Return when these nodes (all, if none are named) answer and are alive to the controller; Unavailable if not."""
    from cluster import connect  # noqa: PLC0415  gRPC only when it is needed

    wanted = nodes or local.nodes
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        stopped = {node: code for node, code in local.stopped().items() if node in wanted}
        for node, code in stopped.items():
            raise Unavailable(f"node {node} ended with exit code {code}:\n{local.why_ended(node)}")
        try:
            alive = set()
            for node in wanted:
                async with await connect(local.address(node), tls=local.tls) as client:
                    status = await client.cluster_status()
                    alive = {item.node for item in status.nodes if item.alive}
                    if status.controller is None or not alive.issuperset(wanted):
                        break
            else:
                return
        except RiverrunError:
            pass
        if loop.time() > deadline:
            raise Unavailable(f"the cluster was not ready within {within_s:.0f} s; see {local.log_path(wanted[0])}")
        await asyncio.sleep(0.1)


async def _watch(local: LocalCluster, apps: DevApps, stop: asyncio.Event) -> int:
    """Until Ctrl-C; a node that ends by itself is told, with its last words, and apps are looked after."""
    told: set[int] = set()
    while not stop.is_set():
        for node, code in local.stopped().items():
            if node not in told:
                told.add(node)
                words = f"its last words:\n{local.why_ended(node)}\nits log: {local.log_path(node)}"
                click.echo(f"node {node} ended with exit code {code}; {words}", err=True)
        if len(told) == len(local.nodes):
            return 1
        await apps.look()
        try:
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        except TimeoutError:
            continue
    return 0
