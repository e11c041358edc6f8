"""`riverrun verify`: a receipt, checked on every replica's disk."""

import re
from typing import TYPE_CHECKING

import click

from cluster.cli.shared import json_option, new_table, print_json, print_table, server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.verifying import Verification

PLACE = re.compile(r"(?P<topic>[^/@]+)/(?P<partition>\d{1,9})@(?P<offset>\d{1,18})")


@click.command(name="verify")
@click.argument("place", metavar="TOPIC/PARTITION@OFFSET")
@server_option
@json_option
def command(place: str, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Ask every replica what it has on its disk at an offset, read and checked anew.

    Exit code 0: a majority holds the record's batch on disk, all copies are equal and none is damaged. Otherwise 1.
    """
    named = PLACE.fullmatch(place)
    if named is None:
        raise click.BadParameter(f"{place!r} is not TOPIC/PARTITION@OFFSET, such as orders/0@17", param_hint="PLACE")

    async def work(client: "Client") -> int:
        found = await client.verify(named["topic"], int(named["partition"]), int(named["offset"]))
        if as_json:
            print_json(_plain(found))
        else:
            _print(found)
            click.echo(found.verdict(), err=not found.is_safe)
        return 0 if found.is_safe else 1

    with_client(servers, work)


def _plain(found: "Verification") -> dict[str, object]:
    return {
        "offset": found.offset,
        "safe": found.is_safe,
        "verdict": found.verdict(),
        "copies": [
            {
                "node": copy.node,
                "replica": copy.replica,
                "state": copy.state.value,
                "base_offset": copy.base_offset,
                "record_count": copy.record_count,
                "term": copy.term,
                "checksum": f"{copy.checksum:08x}",
                "compacted": copy.compacted,
                "record_checksum": f"{copy.record_checksum:08x}",
                "detail": copy.detail,
            }
            for copy in found.copies
        ],
    }


def _print(found: "Verification") -> None:
    table = new_table("NODE", "REPLICA", "STATE", "BATCH", "TERM", "CRC32C", "DETAIL")
    for copy in found.copies:
        columns = ("-", "-", "-")
        if copy.record_count:
            span = f"{copy.base_offset}–{copy.base_offset + copy.record_count - 1}"  # noqa: RUF001
            columns = (span, str(copy.term), f"{copy.checksum:08x}")
        table.add_row(str(copy.node), str(copy.replica), copy.state.value, *columns, copy.detail)
    print_table(table)
