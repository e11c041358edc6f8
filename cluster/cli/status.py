"""`riverrun cluster status`: what the cluster says about itself."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.shared import counted, json_option, new_table, print_json, print_table, server_option, with_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.client.client import Client
    from cluster.client.views import ClusterView, NodeView, UnderReplicated
    from cluster.metadata import Recovery

NS_PER_S = 1_000_000_000


@click.command()
@server_option
@json_option
def status(servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Show nodes, controller and health.

    Exit code 1: a node is dead, the controller has no majority, or a partition has no leader or fewer working replicas
    than were asked for.
    """

    async def work(client: "Client") -> int:
        view = await client.cluster_status()
        troubles = view.partitions_without_leader or view.partitions_under_replicated
        healthy = not troubles and not view.trouble and all(node.state != "dead" for node in view.nodes)
        if as_json:
            print_json(_plain(view, healthy=healthy))
            return 0 if healthy else 1
        if view.trouble:
            click.echo(
                f"{view.trouble[0].upper()}{view.trouble[1:]}.\nWhat follows is what node {view.answered_by} knows: "
                f"decisions up to version {view.metadata_version:,}, and the nodes that it hears.\n"
            )
        click.echo(
            f"cluster {view.cluster_id.hex()}   controller: node {view.controller or '-'}   "
            f"{counted(view.topics, 'topic')}, {counted(view.partitions, 'partition')}, "
            f"{view.partitions_without_leader} without a leader, "
            f"{view.partitions_under_replicated} under-replicated"
        )
        table = new_table("NODE", "STATE", "RACK", "ADDRESS", "LEADERS", "REPLICAS", "VERSION")
        for node in view.nodes:
            numbers = (str(node.leaders), str(node.replicas), node.version)
            table.add_row(str(node.node), _state(node), node.rack or "-", node.client_address, *numbers)
        print_table(table)
        for line in told_together(view.under_replicated):
            click.echo(line)
        more = view.partitions_under_replicated - len(view.under_replicated)
        if more:
            click.echo(f"… and {more:,} more")
        for recovery in view.recoveries:
            click.echo(_recovered(recovery))
        return 0 if healthy else 1

    with_client(servers, work)


def told_together(found: "Sequence[UnderReplicated]") -> list[str]:
    """One line for all partitions of a topic that lack the same for the same reason: a dead node is one for many."""
    together: dict[tuple[str, int, int, str], list[int]] = {}
    for item in found:
        together.setdefault((item.topic, item.working, item.asked, item.why), []).append(item.number)
    return [
        f"{topic}, partition{'s' * (len(numbers) > 1)} {_runs(numbers)}: {working} of {asked} replicas work: {why}"
        for (topic, working, asked, why), numbers in together.items()
    ]


def _runs(numbers: "Sequence[int]") -> str:
    """Numbers in their order, three and more in a row as one: `0, 2, 4 to 11`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _state(node: "NodeView") -> str:
    """In a word or two."""
    words = ["DEAD" if node.state == "dead" else "not started yet" if node.state == "added" else node.state]
    if node.silent and node.state == "alive":
        words.append("not heard")
    if node.draining:
        words.append(f"gives way to {node.replaced_by}" if node.replaced_by else "draining")
    return ", ".join(words)


def _recovered(recovery: "Recovery") -> str:
    """What it cost, in a line; what was told then in full is in the file recovery.done of each data directory."""
    at = datetime.fromtimestamp(recovery.at_ns // NS_PER_S, UTC)
    what = [f"gave up node{'s' * (len(recovery.nodes) != 1)} {', '.join(map(str, recovery.nodes)) or '-'}"]
    if recovery.forced:
        what.append(f"{counted(recovery.forced, 'partition')} may lack acknowledged records")
    if recovery.lost:
        what.append(f"{counted(recovery.lost, 'partition')} had no copy left")
    if recovery.decisions:
        what.append("the controller's last decisions may be missing")
    return f"recovered unsafely at {at:%Y-%m-%d %H:%M:%S} UTC: {'; '.join(what)}"


def _plain(view: "ClusterView", *, healthy: bool) -> dict[str, Any]:
    return {
        "cluster": view.cluster_id.hex(),
        "healthy": healthy,
        "controller": view.controller,
        "trouble": view.trouble or None,
        "quorum": list(view.quorum),
        "quorum_silent": list(view.quorum_silent),
        "metadata_version": view.metadata_version,
        "topics": view.topics,
        "partitions": view.partitions,
        "partitions_without_leader": view.partitions_without_leader,
        "partitions_under_replicated": view.partitions_under_replicated,
        "under_replicated": [
            {
                "topic": item.topic,
                "partition": item.number,
                "asked": item.asked,
                "working": item.working,
                "why": item.why,
            }
            for item in view.under_replicated
        ],
        "recoveries": [
            {
                "at_ns": item.at_ns,
                "configuration": item.configuration,
                "nodes": list(item.nodes),
                "partitions_forced": item.forced,
                "partitions_lost": item.lost,
                "decisions_lost": item.decisions,
            }
            for item in view.recoveries
        ],
        "nodes": [
            {
                "node": node.node,
                "state": node.state,
                "silent": node.silent,
                "draining": node.draining,
                "rack": node.rack,
                "replaced_by": node.replaced_by or None,
                "address": node.client_address,
                "leaders": node.leaders,
                "replicas": node.replicas,
                "version": node.version,
            }
            for node in view.nodes
        ],
    }
