"""`riverrun cluster`: look at the cluster, and change who is in it while it works."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.cli.quantities import as_size
from cluster.cli.recover import recover
from cluster.cli.shared import (
    counted,
    json_option,
    new_table,
    print_json,
    print_table,
    server_option,
    tls_given,
    with_client,
)
from cluster.cli.status import status

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.views import ClusterView, NodeView
    from cluster.metadata import Reassignment

LOOK_S = 1.0
"""Progress is shown so often, when it has changed."""
wait_option = click.option("--wait", is_flag=True, help="Return when it is done; show how far it is, and why it waits.")


@click.group(name="cluster")
def command() -> None:
    """Look at the cluster, and change who is in it while it works."""


command.add_command(status)
command.add_command(recover)


@command.command()
@click.option("--client-address", required=True, metavar="HOST:PORT", help="Where clients will reach the node.")
@click.option("--peer-address", required=True, metavar="HOST:PORT", help="Where the other nodes will reach it.")
@click.option("--http-address", metavar="HOST:PORT", help="Where it takes HTTP: records, /healthz, /readyz, /metrics.")
@click.option("--rack", default="", help="Where it stands: replicas of a partition are spread over racks.")
@click.option("--data-dir", required=True, help="Its data directory, empty or not there yet.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The configuration file to write for it; must not be there yet.",
)
@click.option("--secret-file", default="", help="The file with the cluster's secret, if it has one.")
@click.option("--insecure", is_flag=True, help="Its listeners may be beyond loopback without TLS.")
@server_option
def add(
    client_address: str,
    peer_address: str,
    http_address: str | None,
    rack: str,
    data_dir: str,
    output: Path,
    secret_file: str,
    insecure: bool,  # noqa: FBT001
    servers: str,
) -> None:
    """Add a node: it gets an id that nobody had, and a configuration file to be started with.

    When it runs (riverrun node --config FILE), replicas move to it until nodes hold about the same.
    """
    from cluster.cli.config_file import write_config  # noqa: PLC0415
    from cluster.cli.joining import join  # noqa: PLC0415
    from cluster.config import ListenerConfig  # noqa: PLC0415

    if output.exists():
        raise click.UsageError(f"{output} is there already")
    if not os.access(output.resolve().parent, os.W_OK):  # before the cluster has a node more
        raise click.UsageError(f"{output} cannot be written: {output.resolve().parent} is no directory that takes it")
    tls = tls_given() is not None

    async def work(client: "Client") -> None:
        config = await join(
            client,
            data_dir=data_dir,
            client_listener=ListenerConfig(bind=client_address),
            peer_listener=ListenerConfig(bind=peer_address),
            http_listener=ListenerConfig(bind=http_address) if http_address else None,
            rack=rack,
            secret_file=secret_file,
            insecure=insecure,
        )
        write_config(config, output)
        click.echo(f"added node {config.node}; start it there: riverrun node --config {output}")
        if tls:
            uri = f"riverrun://{config.cluster_id}/node/{config.node}"
            click.echo(f"before that, write [tls] into {output}, with a certificate that names its host and {uri}")

    with_client(servers, work)


@command.command()
@click.argument("node", type=click.IntRange(min=1))
@click.option("--undo", is_flag=True, help="It may hold something again; what is on its way from it returns.")
@wait_option
@server_option
def drain(node: int, undo: bool, wait: bool, servers: str) -> None:  # noqa: FBT001
    """Have a node hold nothing: its leaders go first, then its replicas.

    It is refused if there are too few other nodes. When it is done, the node may be switched off and removed.
    """

    async def work(client: "Client") -> None:
        await client.drain_node(node, undo=undo)
        if undo:
            click.echo(f"node {node} drains no more")
            return
        click.echo(f"node {node} drains" + ("" if wait else "; riverrun cluster reassignments shows how far it is"))
        if wait:
            await _drained(client, node)
            click.echo(f"node {node} holds nothing and may be switched off; then: riverrun cluster remove {node}")

    with_client(servers, work)


@command.command()
@click.argument("node", type=click.IntRange(min=1))
@server_option
def remove(node: int, servers: str) -> None:
    """Remove a node that holds nothing, for good: its id never returns."""

    async def work(client: "Client") -> None:
        await client.remove_node(node)
        click.echo(f"removed node {node}")

    with_client(servers, work)


@command.command()
@click.argument("node", type=click.IntRange(min=1))
@click.option("--with", "replacement", type=click.IntRange(min=1), required=True, help="The node that takes its place.")
@wait_option
@server_option
def replace(node: int, replacement: int, wait: bool, servers: str) -> None:  # noqa: FBT001
    """Have another node take everything that a node holds; then the old one is removed.

    The old node may be dead, or have lost its disk. The new one has to be running (riverrun cluster add makes one).
    """

    async def work(client: "Client") -> None:
        await client.replace_node(node, replacement=replacement)
        click.echo(f"node {replacement} takes the place of node {node}")
        if wait:
            await _drained(client, node)
            click.echo(f"node {node} holds nothing any more and is removed")

    with_client(servers, work)


@command.command()
@server_option
@json_option
def reassignments(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the partitions that move, how far they are, and what would move if it could."""

    async def work(client: "Client") -> None:
        found = await client.reassignments()
        if as_json:
            print_json(
                {
                    "moving": [
                        {
                            "topic": item.topic,
                            "partition": item.number,
                            "replicas": item.replicas,
                            "target": item.target,
                            "back": item.back,
                            "behind_bytes": item.behind_bytes,
                            "state": _state(item),
                        }
                        for item in found.moving
                    ],
                    "waiting": [
                        {"topic": item.topic, "partition": item.number, "replicas": item.replicas, "why": item.why}
                        for item in found.waiting
                    ],
                }
            )
            return
        if found.moving:
            table = new_table("TOPIC", "PARTITION", "FROM", "TO", "STATE")
            for item in found.moving:
                numbers = (" ".join(map(str, item.replicas)), " ".join(map(str, item.target)))
                table.add_row(item.topic, str(item.number), *numbers, _state(item))
            print_table(table)
        for waiting in found.waiting:
            click.echo(f"{waiting.topic}, partition {waiting.number}: {waiting.why}")
        if not found.moving and not found.waiting:
            click.echo("nothing moves")

    with_client(servers, work)


def _state(item: "Reassignment") -> str:
    """How far it is, in words."""
    if item.joint:
        return "changing over"
    how = "begins" if item.behind_bytes is None else f"{as_size(item.behind_bytes)} behind"
    return f"goes back, {how}" if item.back else how


async def _drained(client: "Client", node: int) -> None:
    """Return when a node holds nothing, no seat either, or is gone; say how far it is, and what it waits for."""
    from cluster.metadata import LED_BY_DRAINING, WAITS_FOR_TURN  # noqa: PLC0415

    said = ""
    while True:
        view = await client.cluster_status()
        left, seated = _left(view, node), node in view.quorum
        if left is None or not (left.leaders or left.replicas or seated):
            return
        found = await client.reassignments()
        leaving = [item for item in found.moving if node in item.replicas and node not in item.target]
        parts = [f"{counted(left.leaders, 'leader')} and {counted(left.replicas, 'replica')} left"]
        if seated and not left.replicas:
            parts.append("its seat in the controller's quorum waits for a node that is alive and has none")
        if leaving:
            behind = sum(item.behind_bytes or 0 for item in leaving)
            parts.append(f"{counted(len(leaving), 'partition')} on the way, {as_size(behind)} behind")
        whys = {item.why for item in found.waiting if node in item.replicas}
        parts += sorted(whys - {LED_BY_DRAINING, WAITS_FOR_TURN})
        if (now := "; ".join(parts)) != said:
            click.echo(now)
            said = now
        await asyncio.sleep(LOOK_S)


def _left(view: "ClusterView", node: int) -> "NodeView | None":
    return next((item for item in view.nodes if item.node == node), None)
