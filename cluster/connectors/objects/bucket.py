"""A bucket of S3, or of what speaks like it, as a store (riverrun[objects]).

An object is put with the condition that there is none of its name, which the server decides; it has to know
`If-None-Match` for that. Where an answer was lost and the put was tried again, "it is there" may mean our own one: who
asks copes with that (`pieces`). Calls block, in threads: the library's own asyncio calls sometimes abort a process that
ends just then.
"""

import asyncio
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from cluster.connectors.durations import duration_s
from cluster.connectors.objects.store import Entry, Location
from cluster.errors import InvalidRoute, Unreachable

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from cluster.connectors.objects.options import Place

RETRIES_MAX = 2
CONNECT_S = 5
WHY_MAX = 200
READ_AHEAD_BYTES = 256 * 1024
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d+)")
_FOR_NOW = {"408", "409", "425", "429"}


class Bucket:
    """See `cluster.connectors.objects.store.Store`."""

    def __init__(self, place: "Place", location: Location) -> None:
        self._where = f"s3://{location.bucket}" + (f" at {place.endpoint}" if place.endpoint else "")
        timeout_s = duration_s(place.timeout, "timeout")
        self.store = S3Store(
            location.bucket,
            prefix=location.path or None,
            config={
                **({"endpoint": place.endpoint} if place.endpoint else {}),
                **({"access_key_id": place.access_key} if place.access_key else {}),
                **({"secret_access_key": place.secret_key} if place.secret_key else {}),
                "region": place.region,
                "virtual_hosted_style_request": False,
            },
            client_options={
                "allow_http": place.endpoint.startswith("http://"),
                "timeout": timedelta(seconds=timeout_s),
                "connect_timeout": timedelta(seconds=min(CONNECT_S, timeout_s)),
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=timeout_s)},
        )

    async def create(self, name: str, content: bytes) -> bool:
        """See Store."""
        return await asyncio.to_thread(self._create, name, content)

    async def read(self, name: str, begin: int = 0, length: int | None = None) -> bytes | None:
        """See Store."""
        return await asyncio.to_thread(self._read, name, begin, length)

    async def look(self, name: str) -> Entry | None:
        """See Store."""
        return await asyncio.to_thread(self._look, name)

    async def list(self, folder: str) -> Sequence[Entry]:
        """See Store."""
        return await asyncio.to_thread(self._list, folder)

    async def delete(self, names: Sequence[str]) -> None:
        """See Store."""
        await asyncio.to_thread(self._delete, names)

    def open(self, entry: Entry) -> BinaryIO:
        """See Store."""
        return io.BufferedReader(_Ranges(self._read_there, entry), buffer_size=READ_AHEAD_BYTES)

    def _read_there(self, name: str, begin: int, length: int) -> bytes:
        found = self._read(name, begin, length)
        if found is None:
            raise FileNotFoundError(name)
        return found

    def _create(self, name: str, content: bytes) -> bool:
        try:
            with self._mapped(name, missing=False):
                obstore.put(self.store, name, content, mode="create", use_multipart=False)
        except AlreadyExistsError as error:
            if self._look(name) is None:
                raise Unreachable(f"{self._where}: {name} was being written by somebody else") from error
            return False
        return True

    def _read(self, name: str, begin: int, length: int | None) -> bytes | None:
        try:
            with self._mapped(name):
                if begin == 0 and length is None:
                    return bytes(obstore.get(self.store, name).bytes())
                size = obstore.head(self.store, name)["size"]
                end = size if length is None else min(begin + length, size)
                return bytes(obstore.get_range(self.store, name, start=begin, end=end)) if begin < end else b""
        except FileNotFoundError:
            return None

    def _look(self, name: str) -> Entry | None:
        try:
            with self._mapped(name):
                return _entry(obstore.head(self.store, name))
        except FileNotFoundError:
            return None

    def _list(self, folder: str) -> Sequence[Entry]:
        with self._mapped(folder, missing=False):
            pages = obstore.list(self.store, prefix=folder.rstrip("/") or None)
            return sorted(_entry(found) for page in pages for found in page)

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            with self._mapped(name), suppress(FileNotFoundError):
                obstore.delete(self.store, name)

    @contextmanager
    def _mapped(self, name: str, *, missing: bool = True) -> Iterator[None]:
        """The library's errors as ours; AlreadyExistsError is for who asks, FileNotFoundError if `missing` says so."""
        try:
            yield
        except AlreadyExistsError:
            raise
        except (BaseError, OSError, ValueError) as error:
            if missing and isinstance(error, FileNotFoundError) and _code(error) in {"", "NoSuchKey"}:
                raise
            failure = InvalidRoute if _is_for_ever(error) else Unreachable
            raise failure(f"{self._where}: {name}: {_why(error)}") from error


class _Ranges(io.RawIOBase):
    """An object as a file: each read is a request."""

    def __init__(self, read: Callable[[str, int, int], bytes], entry: Entry) -> None:
        self._read, self._entry, self._at = read, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        found = self._read(self._entry.name, self._at, len(into))
        into[: len(found)] = found
        self._at += len(found)
        return len(found)


def _entry(found: "ObjectMeta") -> Entry:
    return Entry(found["path"], found["size"], found["e_tag"] or "", found["last_modified"].timestamp())


def _is_for_ever(error: BaseException) -> bool:
    """Waiting does not mend it."""
    if isinstance(error, FileNotFoundError | PermissionDeniedError | UnauthenticatedError | NotSupportedError):
        return True
    status = _STATUS.search(str(error))
    return status is not None and status[1].startswith("4") and status[1] not in _FOR_NOW


def _code(error: BaseException) -> str:
    """S3's own name of it; "": the answer had none."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _why(error: BaseException) -> str:
    """In a few words: the library's own are pages, with the whole request."""
    first = str(error).strip().split("\n", maxsplit=1)[0]
    return _code(error) or f"{type(error).__name__}: {first}"[:WHY_MAX]
