"""`riverrun explain`: who waits for whom, why, and what to do."""

import re
import textwrap
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.shared import json_option, print_json, server_option, with_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.client.client import Client
    from cluster.client.explaining import ExplanationView, FindingView

PARTITION = re.compile(r"(?P<topic>[^/@]+)/(?P<partition>\d{1,9})")
TASK = re.compile(r"(?P<app>[^/@]+)/(?P<stage>[^/@]+)(?:@(?P<version>\d{1,9}))?/(?P<task>\d{1,9})")
WIDTH = 100
"""Characters of a line."""


@click.group(name="explain")
def command() -> None:
    """Say who waits for whom, why, and what to do.

    The node that is asked asks all that have a part in it; whoever does not answer is named. What is wrong comes with
    the numbers that prove it, the most important first; what is healthy, with the same numbers.

    Exit code 0: nothing is wrong. 1: something is.
    """


@command.command()
@click.argument("place", metavar="TOPIC/PARTITION")
@server_option
@json_option
def partition(place: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Why records of a partition wait, such as orders/0."""
    named = PARTITION.fullmatch(place)
    if named is None:
        raise click.BadParameter(f"{place!r} is not TOPIC/PARTITION, such as orders/0", param_hint="TOPIC/PARTITION")
    _explain(servers, lambda client: client.explain_partition(named["topic"], int(named["partition"])), as_json=as_json)


@command.command()
@click.argument("name")
@server_option
@json_option
def group(name: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Why records wait for a group."""
    _explain(servers, lambda client: client.explain_group(name), as_json=as_json)


@command.command()
@click.argument("place", metavar="APP/STAGE[@VERSION]/TASK")
@server_option
@json_option
def task(place: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Why records wait for a task of an app, such as retail/totals/0.

    Stages and their versions are those that riverrun app describe shows; without a version the highest is meant.
    """
    named = TASK.fullmatch(place)
    if named is None:
        raise click.BadParameter(
            f"{place!r} is not APP/STAGE/TASK or APP/STAGE@VERSION/TASK, such as retail/totals/0",
            param_hint="APP/STAGE[@VERSION]/TASK",
        )
    version = int(named["version"] or 0)
    _explain(
        servers,
        lambda client: client.explain_task(named["app"], named["stage"], int(named["task"]), version=version),
        as_json=as_json,
    )


@command.command()
@click.argument("number", type=click.IntRange(min=1))
@server_option
@json_option
def node(number: int, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """What waits for a node, and what it waits for."""
    _explain(servers, lambda client: client.explain_node(number), as_json=as_json)


def _explain(servers: str, ask: "Callable[[Client], Awaitable[ExplanationView]]", *, as_json: bool) -> None:
    async def work(client: "Client") -> int:
        found = await ask(client)
        if as_json:
            print_json(_plain(found))
        else:
            for line in lines_of(found):
                click.echo(line)
        return 0 if found.healthy else 1

    with_client(servers, work)


def lines_of(found: "ExplanationView") -> list[str]:
    """For people: what is wrong first, then how it is now."""
    lines = [found.summary]
    for finding in found.findings:
        lines += ["", *_lines_of(finding)]
    return [*lines, "", "now:", *(line for said in found.state for line in _wrapped(said, "  ", "    "))]


def _lines_of(finding: "FindingView") -> list[str]:
    about = f"  ({finding.about})" if finding.about else ""
    return [
        f"{finding.severity.value.upper()}  {finding.code}{about}",
        *_wrapped(finding.cause, "  why:  ", "        "),
        *_wrapped(finding.consequence, "  so:   ", "        "),
        *_wrapped(finding.advice, "  do:   ", "        "),
    ]


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def _plain(found: "ExplanationView") -> dict[str, Any]:
    return {
        "subject": found.subject,
        "healthy": found.healthy,
        "summary": found.summary,
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "about": finding.about,
                "cause": finding.cause,
                "consequence": finding.consequence,
                "advice": finding.advice,
                "numbers": dict(finding.numbers),
                "nodes": list(finding.nodes),
            }
            for finding in found.findings
        ],
        "state": list(found.state),
        "nodes": list(found.looks),
        "answered_by": found.answered_by,
    }
