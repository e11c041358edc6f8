"""What is in PEM files: whether it can be used, and what a certificate says. Its import takes a moment.

The standard library checks certificates in handshakes only; here they are looked at before.
"""

import datetime as dt
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from cluster.real.certificates import Files, Pems, Unusable


class Facts(NamedTuple):
    """Of a certificate."""

    uris: list[str]
    hosts: list[str]
    """Names and IP addresses."""
    ends: dt.datetime

    def lasts_s(self, wall_ns: int) -> float:
        """How long it is still good; negative: it has ended."""
        return (self.ends - dt.datetime.fromtimestamp(wall_ns / 1e9, dt.UTC)).total_seconds()


def facts_in(pem: bytes) -> Facts:
    """Of the first one in a file."""
    return _facts(x509.load_pem_x509_certificates(pem)[0])


def facts_of_der(der: bytes) -> Facts:
    """Of one as it travels."""
    return _facts(x509.load_der_x509_certificate(der))


def is_signed(cert: bytes, ca: bytes) -> bool:
    """Whether a step from the certificate, and what comes with it, leads to one of the CAs."""
    chain, authorities = x509.load_pem_x509_certificates(cert), x509.load_pem_x509_certificates(ca)
    return any(one == other or _issued(one, other) for one in chain for other in authorities)


def refuse_unfit(pems: Pems, files: Files) -> None:
    """Unusable if something cannot be read, or the key is another certificate's."""
    if pems.ca is not None:
        _certificates(pems.ca, files.ca)
    if pems.cert is not None and pems.key is not None:
        held = _certificates(pems.cert, files.cert)[0].public_key()
        if held != _public_key(pems.key, files.key):
            raise Unusable(f"the key {files.key} does not fit the certificate {files.cert}")


def _facts(certificate: x509.Certificate) -> Facts:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Facts(
        names.get_values_for_type(x509.UniformResourceIdentifier),
        [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))],
        certificate.not_valid_after_utc,
    )


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


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
