"""Certificates in files: read, checked, and read again when somebody has put new ones there.

A set that does not fit together (half of it is written so far) is not taken: what was there before goes on, and it is
looked at again when a file changes. Nothing here waits for the network; a look costs three `stat`.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

log_event = structlog.get_logger()


class Unusable(Exception):
    """Files that cannot be used; one sentence."""


class Files(NamedTuple):
    """Paths; an empty one: there is none."""

    cert: str
    key: str
    ca: str


class Pems(NamedTuple):
    """What is in the files; None: there is no such file."""

    cert: bytes | None
    key: bytes | None
    ca: bytes | None


class Certificates:
    """A certificate, its key, and CAs. Unusable at the start if they are; later the last good ones count.

    `check` raises Unusable for what fits together and is of no use here.
    """

    def __init__(self, files: Files, check: Callable[[Pems], None] = lambda _: None) -> None:
        self.files = files
        self._check = check
        self.version = 1
        """Higher each time that others were read."""
        self._lock = threading.Lock()
        self._seen = _stamps(files)
        self.pems = self._read()

    def look(self) -> int:
        """The version, after a look at the files. From any thread."""
        with self._lock:
            stamps = _stamps(self.files)
            if stamps != self._seen:
                self._seen = stamps
                try:
                    self.pems = self._read()
                except Unusable as error:
                    log_event.warning("certificates_unusable", detail=str(error), going_on="with the ones before")
                else:
                    self.version += 1
                    log_event.info("certificates_read_again", files=[path for path in self.files if path])
            return self.version

    def _read(self) -> Pems:
        pems = _read(self.files)
        self._check(pems)
        return pems


def _stamps(files: Files) -> list[tuple[int, int, int] | None]:
    stamps: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            found = os.stat(path)  # noqa: PTH116  at each handshake
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return stamps


def _read(files: Files) -> Pems:
    from cluster.real.pem import refuse_unfit  # noqa: PLC0415  its import takes a moment, and most clients have no TLS

    if bool(files.cert) != bool(files.key):
        there, missing = ("certificate", "key") if files.cert else ("key", "certificate")
        raise Unusable(f"there is a {there} ({files.cert or files.key}) without its {missing}")
    pems = Pems(*(_content(path) if path else None for path in files))
    refuse_unfit(pems, files)
    return pems


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
