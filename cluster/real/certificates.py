"""Certificates in files: read, checked, and read again when somebody has put new ones there.

A set that does not fit together (half of it is written so far) is not taken: what was there before goes on, and it is
looked at again when a file changes. Nothing here waits for the network; a look costs three `stat`.
"""

import datetime as dt
import os
import threading
from pathlib import Path
from typing import NamedTuple

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

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
    """A certificate, its key, and CAs. Unusable at the start if they are; later the last good ones count."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.version = 1
        """Higher each time that others were read."""
        self._lock = threading.Lock()
        self._seen = _stamps(files)
        self.pems = _read(files)

    def look(self) -> int:
        """The version, after a look at the files. From any thread."""
        with self._lock:
            stamps = _stamps(self.files)
            if stamps != self._seen:
                self._seen = stamps
                try:
                    self.pems = _read(self.files)
                except Unusable as error:
                    log_event.warning("certificates_unusable", detail=str(error), going_on="with the ones before")
                else:
                    self.version += 1
                    log_event.info("certificates_read_again", files=[path for path in self.files if path])
            return self.version

    def chain(self) -> list[x509.Certificate]:
        """The certificate, and what comes with it; empty: there is none."""
        return x509.load_pem_x509_certificates(self.pems.cert) if self.pems.cert else []


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs that it names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The host names and IP addresses that it names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def is_signed(chain: list[x509.Certificate], ca: bytes) -> bool:
    """Whether a step from the chain leads to one of the CAs."""
    authorities = x509.load_pem_x509_certificates(ca)
    return any(one == other or _issued(one, other) for one in chain for other in authorities)


def lasts_s(certificate: x509.Certificate, wall_ns: int) -> float:
    """How long it is still good; negative: it has ended."""
    return (certificate.not_valid_after_utc - dt.datetime.fromtimestamp(wall_ns / 1e9, dt.UTC)).total_seconds()


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


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
    if bool(files.cert) != bool(files.key):
        there, missing = ("certificate", "key") if files.cert else ("key", "certificate")
        raise Unusable(f"there is a {there} ({files.cert or files.key}) without its {missing}")
    pems = Pems(*(_content(path) if path else None for path in files))
    if pems.ca is not None:
        _certificates(pems.ca, files.ca)
    if pems.cert is not None and pems.key is not None:
        held = _certificates(pems.cert, files.cert)[0].public_key()
        if held != _public_key(pems.key, files.key):
            raise Unusable(f"the key {files.key} does not fit the certificate {files.cert}")
    return pems


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error


def _certificates(pem: bytes, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise Unusable(f"{path} holds no certificate (PEM)") from error


def _public_key(pem: bytes, path: str) -> object:
    try:
        return serialization.load_pem_private_key(pem, None).public_key()
    except TypeError as error:
        raise Unusable(f"the key {path} has a passphrase: write one without, readable by its user only") from error
    except ValueError as error:
        raise Unusable(f"{path} holds no private key (PEM)") from error
