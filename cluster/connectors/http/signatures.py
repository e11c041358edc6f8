"""Signatures of webhooks: checked, and made. Pure.

Schemes: `standard` (Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature` of
`id.timestamp.body`), `github` (`X-Hub-Signature-256` of the body, `X-GitHub-Delivery`), `stripe` (`Stripe-Signature:
t=…,v1=…` of `t.body`). All are HMAC-SHA256. A standard secret that begins with `whsec_` is base64 behind it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from cluster.errors import InvalidRoute

SECRET_PREFIX = "whsec_"  # noqa: S105  what a secret begins with


class Scheme(StrEnum):
    """How a sender signs."""

    NONE = "none"
    STANDARD = "standard"
    GITHUB = "github"
    STRIPE = "stripe"


class Forged(Exception):
    """It is not signed, or not with this secret, or too long ago; the message is for the sender."""


class Checked(NamedTuple):
    """What is known of a request that is what it says. `id` "": the scheme has none."""

    id: str


def key_of(secret: str) -> bytes:
    """What signatures are made with. InvalidRoute: it is no secret of a standard webhook."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise InvalidRoute(f"the secret begins with {SECRET_PREFIX}, and what follows is no base64") from error


def check(
    scheme: Scheme, key: bytes, headers: Mapping[str, str], body: bytes, *, now_s: int, tolerance_s: float
) -> Checked:
    """Forged unless it was signed with this key, not longer ago than `tolerance_s`. `headers`: names in lower case."""
    match scheme:
        case Scheme.STANDARD:
            sent_id, sent_s = _wanted(headers, "webhook-id"), _wanted(headers, "webhook-timestamp")
            _check_time(sent_s, now_s, tolerance_s)
            expected = base64.b64encode(_mac(key, f"{sent_id}.{sent_s}.".encode() + body)).decode()
            found = [part.removeprefix("v1,") for part in _wanted(headers, "webhook-signature").split()]
            _check_any(found, expected)
            return Checked(sent_id)
        case Scheme.GITHUB:
            found_hex = _wanted(headers, "x-hub-signature-256").removeprefix("sha256=")
            _check_any([found_hex], _mac(key, body).hex())
            return Checked(headers.get("x-github-delivery", ""))
        case Scheme.STRIPE:
            fields = [part.strip().partition("=") for part in _wanted(headers, "stripe-signature").split(",")]
            sent_s = next((value for name, _, value in fields if name == "t"), "")
            _check_time(sent_s, now_s, tolerance_s)
            _check_any(
                [value for name, _, value in fields if name == "v1"], _mac(key, sent_s.encode() + b"." + body).hex()
            )
            return Checked("")
    return Checked(headers.get("webhook-id", "") or headers.get("idempotency-key", ""))


def signed(key: bytes, id_: str, body: bytes, now_s: int) -> dict[str, str]:
    """The headers of a standard webhook."""
    mac = base64.b64encode(_mac(key, f"{id_}.{now_s}.".encode() + body)).decode()
    return {"webhook-id": id_, "webhook-timestamp": str(now_s), "webhook-signature": f"v1,{mac}"}


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _wanted(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name)
    if not found:
        raise Forged(f"the header {name} is missing")
    return found


def _check_time(sent_s: str, now_s: int, tolerance_s: float) -> None:
    if not (sent_s.isascii() and sent_s.isdecimal() and len(sent_s) < 16):
        raise Forged("the time that it was signed at is no number of seconds since 1970")
    if abs(now_s - int(sent_s)) > tolerance_s:
        raise Forged(f"it was signed at {sent_s}, more than {tolerance_s:g} s from now")


def _check_any(found: list[str], expected: str) -> None:
    if not any(hmac.compare_digest(each.encode(), expected.encode()) for each in found):
        raise Forged("the signature is not right")
