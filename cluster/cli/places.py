"""Places in a topic as people write them.

>>> place_of("latest"), place_of("17"), place_of("2026-01-31").isoformat()
('latest', 17, '2026-01-31T00:00:00+00:00')
"""

import datetime as dt

import click

from cluster.types import Offset


def place_of(text: str) -> "str | Offset | dt.datetime":
    """What a reader begins or stops at: a time without a zone is UTC; BadParameter if it is no place."""
    if text in {"earliest", "latest"}:
        return text
    if text.isdigit():
        return Offset(int(text))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not earliest, latest, an offset or a time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
