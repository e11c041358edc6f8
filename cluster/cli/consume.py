"""`riverrun consume`: the records of a topic, on standard output."""

import base64
import datetime as dt
import json
import sys
from typing import TYPE_CHECKING

import click

from cluster.cli.shared import server_option, with_client
from cluster.types import Offset

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.decoding import ReadRecord


@click.command(name="consume")
@click.argument("topic")
@click.option("--from", "start", default="latest", show_default=True, metavar="earliest|latest|OFFSET|TIME")
@click.option(
    "--until", metavar="latest|OFFSET|TIME", help="Where to stop; without it, new records follow as they come."
)
@click.option("--partition", "partitions", multiple=True, type=int, help="Only this one; may be given again.")
@click.option("--max", "limit", type=int, help="Stop after so many records.")
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
    limit: int | None,
    form: str,
    columns: tuple[str, ...],
    servers: str,
) -> None:
    """Read a topic.

    TIME is ISO 8601, such as 2026-01-31T08:00:00Z. text: columns of headers, key and value; json: one object a line
    with all of them, what is not UTF-8 as base64; raw: values only, one a line.
    """
    if columns and form != "text":
        raise click.UsageError(f"--header is for --format text; {form} has {'all' if form == 'json' else 'no'} headers")
    begin, end = _place(start), _place(until) if until is not None else None

    async def work(client: "Client") -> None:
        count = 0
        async for record in client.read(topic, partitions=partitions or None, start=begin, until=end):
            sys.stdout.buffer.write(_line(record, form, columns))
            count += 1
            if end is None:
                sys.stdout.buffer.flush()
            if limit is not None and count >= limit:
                break
        sys.stdout.buffer.flush()

    try:
        with_client(servers, work)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has seen enough


def _place(text: str) -> "str | Offset | dt.datetime":
    if text in {"earliest", "latest"}:
        return text
    if text.isdigit():
        return Offset(int(text))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not earliest, latest, an offset or a time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


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
