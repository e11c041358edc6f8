"""What a directory and a bucket have in common. Names are relative to the place, with `/` between folders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.objects.options import Place


class Entry(NamedTuple):
    """One file. `version` changes when it is replaced; `modified_s` is by the place's own clock."""

    name: str
    size: int
    version: str
    modified_s: float


class Store(Protocol):
    """Unreachable: the place is away, it may be tried again. InvalidRoute: a person has to do something."""

    async def create(self, name: str, content: bytes) -> bool:
        """Make it, whole or not at all, and only if it is not there (False). It is durable in both cases."""

    async def read(self, name: str, begin: int = 0, length: int | None = None) -> bytes | None:
        """Some of it; None: it is not there. Less than `length` at its end."""

    async def look(self, name: str) -> Entry | None:
        """What it is now; None: it is not there."""

    async def list(self, folder: str) -> Sequence[Entry]:
        """All within that folder ("": the place), however deep, by name. Empty if it is not there."""

    async def delete(self, names: Sequence[str]) -> None:
        """Those that are there."""

    def open(self, entry: Entry) -> BinaryIO:
        """To read here and there in it. It blocks, and FileNotFoundError is possible at any time: for threads."""


class Location(msgspec.Struct, frozen=True):
    """A url in parts. `bucket` "": it is the directory `path`."""

    bucket: str
    path: str


def location(url: str) -> Location:
    """InvalidRoute: it is neither a directory nor a bucket."""
    parts = urlsplit(url)
    if parts.scheme in {"", "file"} and parts.netloc == "" and parts.path.startswith("/"):
        return Location("", unquote(parts.path).rstrip("/") or "/")
    if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc and not parts.query:
        return Location(parts.netloc, unquote(parts.path).strip("/"))
    shown = url.partition("://")[0] if "@" in url else url
    raise InvalidRoute(f'url is {shown!r}; write "file:///directory" or "s3://bucket/prefix"')


def open_store(place: "Place") -> Store:
    """The one that the url means."""
    found = location(place.url)
    if not found.bucket:
        from cluster.connectors.objects.local import Directory  # noqa: PLC0415  only when it is used

        return Directory(found.path)
    try:
        from cluster.connectors.objects.bucket import Bucket  # noqa: PLC0415  an extra
    except ImportError as error:
        raise InvalidRoute(f"{place.where} needs obstore: install riverrun[objects]") from error
    return Bucket(place, found)
