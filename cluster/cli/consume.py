"""`riverrun consume`: the records of a topic, on standard output."""

import base64
import json
import sys
from typing import TYPE_CHECKING

import click

from cluster.cli.member import print_as_member
from cluster.cli.places import place_of
from cluster.cli.shared import server_option, with_client

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.decoding import ReadRecord


@click.command(name="consume")
@click.argument("topic")
@click.option("--from", "start", default="latest", show_default=True, metavar="earliest|latest|OFFSET|TIME")
@click.option(
    "--until", metavar="latest|OFFSET|TIME", help="Where to stop; without it, new records follow as they come."
)
@click.option(
    "--partition", "partitions", multiple=True, type=click.IntRange(min=0), help="Only this one; may be given again."
)
@click.option(
    "--group",
    metavar="NAME",
    help="As a member of this group, which shares out the partitions and goes on where it was.",
)
@click.option("--max", "limit", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--format", "form", type=click.Choice(["text", "json", "raw"]), default="text", show_default=True)
@click.option(
    "--header",
    "columns",
    multiple=True,
    metavar="NAME",
    help="With text: a column with this header's value, empty where a record has none; may be given again.",
)
@server_option
def command(
    topic: str,
    start: str,
    until: str | None,
    partitions: tuple[int, ...],
    group: str | None,
    limit: int | None,
    form: str,
    columns: tuple[str, ...],
    servers: str,
) -> None:
    """Read a topic.

    TIME is ISO 8601, such as 2026-01-31T08:00:00Z. text: columns of headers, key and value; json: one object a line
    with all of them, what is not UTF-8 as base64; raw: values only, one a line.

    With --group what was printed is committed, and --from is where the group begins in a partition for which it has no
    position yet. Ctrl-C hands everything over to the other members at once. --until latest ends when the group, all
    its members together, has processed what there was at the start.
    """
    if columns and form != "text":
        raise click.UsageError(f"--header is for --format text; {form} has {'all' if form == 'json' else 'no'} headers")
    if group is not None and partitions:
        raise click.UsageError("a group shares out the partitions itself: --partition cannot go with --group")
    if group is not None and until not in {None, "latest"}:
        raise click.UsageError("a group's members stop at different places: with --group, --until can only be latest")
    begin, end = place_of(start), place_of(until) if until is not None else None

    def write(record: "ReadRecord") -> None:
        sys.stdout.buffer.write(_line(record, form, columns))
        if end is None or group is not None:  # what is committed was written
            sys.stdout.buffer.flush()

    async def work(client: "Client") -> None:
        if group is not None:
            await print_as_member(
                client, topic, group, start=begin, until_latest=end is not None, limit=limit, write=write
            )
            return
        count = 0
        async for record in client.read(topic, partitions=partitions or None, start=begin, until=end):
            write(record)
            count += 1
            if limit is not None and count >= limit:
                break
        sys.stdout.buffer.flush()

    try:
        with_client(servers, work)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has seen enough


def _line(record: "ReadRecord", form: str, columns: tuple[str, ...]) -> bytes:
    if form == "raw":
        return record.value + b"\n"
    if form == "text":
        headers = [b",".join(header.value for header in record.headers if header.name == name) for name in columns]
        key = [record.key] if record.key is not None else []
        return b"\t".join([*headers, *key, record.value]) + b"\n"
    return (
        json.dumps(
            {
                "partition": record.partition,
                "offset": record.offset,
                "timestamp_ns": record.timestamp_ns,
                "key": _text(record.key) if record.key is not None else None,
                "value": _text(record.value),
                "headers": [[header.name, _text(header.value)] for header in record.headers],
            }
        ).encode()
        + b"\n"
    )


def _text(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
