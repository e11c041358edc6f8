"""Throw-away certificates, for `riverrun dev --tls` and for tests: an authority, and what it signs.

Not for a cluster that matters: these are made anew at each start, and the authority's key is thrown away. There, any
authority will do that can put a URI into a certificate; see `wire/certified.py` for which.
"""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.config import TlsOptions
from cluster.types import ClusterId, NodeId
from cluster.wire.certified import node_uri

DAYS = 365
CLOCK_SKEW = dt.timedelta(hours=1)
"""Certificates are good from a little before they are made: clocks differ."""


LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Issued:
    """The files of a certificate and of its key (PEM)."""

    cert_file: Path
    key_file: Path


class Authority:
    """Signs certificates into one directory; its own is `ca_file`."""

    def __init__(self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.ca_file = directory / "ca.crt"
        self._directory = directory
        self._key = key
        self._certificate = certificate

    @classmethod
    def make(cls, directory: Path, name: str = "riverrun dev") -> Self:
        """A new one; its files replace those of an earlier one."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        builder = _begun(subject, subject, key.public_key(), dt.timedelta(days=DAYS))
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(directory / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, key, certificate)

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        uris: Sequence[str] = (),
        lasts: dt.timedelta = dt.timedelta(days=DAYS),
    ) -> Issued:
        """A certificate `NAME.crt` with its key `NAME.key`, for these names and IP addresses; it may have expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*(_host(host) for host in hosts), *(x509.UniformResourceIdentifier(uri) for uri in uris)]
        builder = _begun(_named(name), self._certificate.subject, key.public_key(), lasts)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        issued = Issued(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(issued.key_file, private, mode=0o600)
        _write(issued.cert_file, certificate.public_bytes(serialization.Encoding.PEM))
        return issued


def make_certificates(directory: Path, cluster: ClusterId, nodes: Sequence[int]) -> TlsOptions:
    """New ones for a cluster on this machine, `node-1.crt` and so on; what its clients connect with."""
    authority = Authority.make(directory)
    for node in nodes:
        authority.issue(f"node-{node}", hosts=LOCAL_HOSTS, uris=[node_uri(cluster, NodeId(node))])
    client = authority.issue("client")
    return TlsOptions(ca_file=str(authority.ca_file), cert_file=str(client.cert_file), key_file=str(client.key_file))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)  # noqa: TID251  no world here: this is outside of the cluster
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lasts) - CLOCK_SKEW)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Atomically: a node may be reading it."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123  opened with its mode
        file.write(content)
    new.replace(path)
