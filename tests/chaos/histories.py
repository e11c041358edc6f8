"""Histories by hand: sends and reads of one partition, a line each."""

from chaos.checkers.log import check_log
from chaos.history import History, Kind


def send(
    history: History,
    value: str,
    offset: int | None,
    kind: Kind = Kind.OK,
    at: float = 0.0,
    process: str = "p",
    *,
    key: str = "k",
    synced: int | None = None,
) -> None:
    """It takes half a second. `offset` and `synced` as its receipt says."""
    number = history.invoke(process, "send", at, partition=0, key=key, value=value)
    receipt = {"offset": offset, "synced": synced}
    said = {name: what for name, what in receipt.items() if what is not None}
    history.end(number, process, kind, "send", at + 0.5, **said)


def read(
    history: History,
    *records: tuple[int, str] | tuple[int, str, str],
    process: str = "final",
    at: float = 9.0,
    start: int | None = None,
    first: int | None = None,
    end: int | None = None,
    partition: int = 0,
) -> None:
    """Half a second, too. A record is an offset, a value, and its key if that is not `k`."""
    number = history.invoke(process, "read", at, partition=partition, **({} if start is None else {"start": start}))
    told = {name: offset for name, offset in (("first", first), ("end", end)) if offset is not None}
    plain = [[record[0], record[2] if len(record) > 2 else "k", record[1]] for record in records]
    history.end(number, process, Kind.OK, "read", at + 0.5, partition=partition, records=plain, **told)


def names(history: History, **options: int | bool) -> list[str]:
    """Of everything that is wrong."""
    return [anomaly.name for anomaly in check_log(history.events, **options)]
