"""`riverrun cluster`: what the cluster says about itself."""

from typing import TYPE_CHECKING

import click

from cluster.cli.shared import counted, json_option, new_table, print_json, print_table, server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client


@click.group(name="cluster")
def command() -> None:
    """Look at the cluster."""


@command.command()
@server_option
@json_option
def status(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show nodes, controller and health. Exit code 1: a node is dead or a partition has no leader."""

    async def work(client: "Client") -> int:
        view = await client.cluster_status()
        healthy = all(node.alive for node in view.nodes) and not view.partitions_without_leader
        if as_json:
            print_json(
                {
                    "cluster": view.cluster_id.hex(),
                    "healthy": healthy,
                    "controller": view.controller,
                    "metadata_version": view.metadata_version,
                    "topics": view.topics,
                    "partitions": view.partitions,
                    "partitions_without_leader": view.partitions_without_leader,
                    "nodes": [
                        {
                            "node": node.node,
                            "state": "alive" if node.alive else "dead",
                            "address": node.client_address,
                            "leaders": node.leaders,
                            "replicas": node.replicas,
                            "version": node.version,
                        }
                        for node in view.nodes
                    ],
                }
            )
            return 0 if healthy else 1
        click.echo(
            f"cluster {view.cluster_id.hex()}   controller: node {view.controller or '-'}   "
            f"{counted(view.topics, 'topic')}, {counted(view.partitions, 'partition')}, "
            f"{view.partitions_without_leader} without a leader"
        )
        table = new_table("NODE", "STATE", "ADDRESS", "LEADERS", "REPLICAS", "VERSION")
        for node in view.nodes:
            state = "alive" if node.alive else "DEAD"
            table.add_row(
                str(node.node), state, node.client_address, str(node.leaders), str(node.replicas), node.version
            )
        print_table(table)
        return 0 if healthy else 1

    with_client(servers, work)
