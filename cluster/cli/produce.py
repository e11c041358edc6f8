"""`riverrun produce`: lines of standard input, or rows of a CSV file, as records."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.cli.shared import counted, server_option, with_client
from cluster.cli.standard_input import lines
from cluster.config import ClientOptions
from cluster.errors import InvalidRequest, RiverrunError
from cluster.records import Header

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.records import Receipt


@click.command(name="produce")
@click.argument("topic")
@click.option("--key-separator", metavar="TEXT", help="Each line is KEY TEXT VALUE, parted at the first TEXT.")
@click.option(
    "--from-csv",
    "csv_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of this file as JSON objects, instead of standard input.",
)
@click.option("--key", "key_column", metavar="COLUMN", help="With --from-csv: the column that is the key.")
@click.option("--partition", type=click.IntRange(min=0), help="All records into this one, whatever their keys.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Beside every record; may be given again."
)
@click.option("--codec", type=click.Choice(["none", "lz4", "zstd"]), default="none", show_default=True)
@server_option
def command(
    topic: str,
    key_separator: str | None,
    csv_path: Path | None,
    key_column: str | None,
    partition: int | None,
    headers: tuple[str, ...],
    codec: str,
    servers: str,
) -> None:
    """Publish lines of standard input, one record each; say at the end what was acknowledged.

    Exit code 0: every record is on the disks of a majority.
    """
    if key_column and csv_path is None:
        raise click.UsageError("--key needs --from-csv")
    if key_separator is not None and csv_path is not None:
        raise click.UsageError("--key-separator is for lines; with --from-csv use --key")
    beside = [_header(text) for text in headers]
    records = _rows(csv_path, key_column) if csv_path is not None else _lines(key_separator)

    async def work(client: "Client") -> None:
        count, last = 0, {}
        wrong: RiverrunError | None = None
        try:
            async for key, value in records:
                delivery = await client.produce(topic, value, key=key, headers=beside, partition=partition)
                last[delivery.partition] = delivery
                count += 1
        except RiverrunError as error:
            wrong = error  # what came before it is on its way, and is told first
        await client.flush()
        click.echo(_summary(topic, count, {partition: await delivery for partition, delivery in sorted(last.items())}))
        if wrong is not None:
            raise wrong

    with_client(servers, work, ClientOptions(codec=codec))


def _header(text: str) -> Header:
    name, found, value = text.partition("=")
    if not found or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--header")
    return Header(name=name, value=value.encode())


def _summary(topic: str, count: int, receipts: "dict[int, Receipt]") -> str:
    """What was acknowledged; `receipts` has the last one of each partition."""
    if not count:
        return "nothing was published"
    places = ", ".join(f"{partition}@{receipt.offset}" for partition, receipt in list(receipts.items())[:12])
    more = ", …" if len(receipts) > 12 else ""
    synced = min(receipt.replicas_synced for receipt in receipts.values())
    return (
        f"acknowledged {counted(count, 'record')} in {counted(len(receipts), 'partition')} of {topic}, "
        f"on at least {counted(synced, 'disk')} each; last at partition@offset {places}{more}"
    )


async def _lines(separator: str | None) -> AsyncIterator[tuple[bytes | None, bytes]]:
    number = 0
    async for line in lines():
        number += 1
        if separator is None:
            yield None, line
            continue
        key, found, value = line.partition(separator.encode())
        if not found:
            raise InvalidRequest(f"line {number} has no {separator!r} between key and value")
        yield key, value


async def _rows(path: Path, key_column: str | None) -> AsyncIterator[tuple[bytes | None, bytes]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if key_column is not None and key_column not in (reader.fieldnames or ()):
            columns = ", ".join(reader.fieldnames or ())
            raise InvalidRequest(f"{path} has no column {key_column!r}; it has {columns}")
        for row in reader:
            if None in row or None in row.values():
                raise InvalidRequest(f"line {reader.line_num} of {path} does not have the columns of the first line")
            value = json.dumps(row, separators=(",", ":")).encode()
            yield (row[key_column].encode() if key_column is not None else None), value
