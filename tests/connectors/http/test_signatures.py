"""Signatures of webhooks: the published examples, and what is forged, old or incomplete."""

import hashlib
import hmac

import pytest

from cluster.connectors.http.signatures import Forged, Scheme, check, key_of, signed
from cluster.errors import InvalidRoute

NOW_S = 1_614_265_330
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW_S),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The example in the specification of Standard Webhooks."""


def found(
    scheme: Scheme, headers: dict[str, str], *, body: bytes = BODY, secret: str = SECRET, now_s: int = NOW_S
) -> str:
    """The id of what is right."""
    return check(scheme, key_of(secret), headers, body, now_s=now_s, tolerance_s=300).id


def test_a_standard_webhook_is_known_by_its_published_example() -> None:
    """And what we sign is what we check."""
    assert STANDARD["webhook-id"] == found(Scheme.STANDARD, STANDARD)
    assert STANDARD == signed(key_of(SECRET), STANDARD["webhook-id"], BODY, NOW_S)


@pytest.mark.parametrize(
    ("change", "body", "now_s", "says"),
    [
        ({}, BODY + b" ", NOW_S, "the signature is not right"),
        ({"webhook-id": "another"}, BODY, NOW_S, "the signature is not right"),
        ({"webhook-signature": "v1,AAAA v2,BBBB"}, BODY, NOW_S, "the signature is not right"),
        ({"webhook-signature": ""}, BODY, NOW_S, "the header webhook-signature is missing"),
        ({"webhook-timestamp": "soon"}, BODY, NOW_S, "no number of seconds"),
        ({}, BODY, NOW_S + 301, "more than 300 s from now"),
        ({}, BODY, NOW_S - 301, "more than 300 s from now"),
    ],
)
def test_what_is_forged_or_replayed_is_refused(change: dict[str, str], body: bytes, now_s: int, says: str) -> None:
    """Each says why."""
    with pytest.raises(Forged, match=says):
        found(Scheme.STANDARD, {**STANDARD, **change}, body=body, now_s=now_s)


def test_one_of_several_signatures_is_enough() -> None:
    """While a secret is replaced."""
    both = {**STANDARD, "webhook-signature": f"v1,AAAA {STANDARD['webhook-signature']}"}
    assert STANDARD["webhook-id"] == found(Scheme.STANDARD, both)


def test_github_and_stripe_sign_in_their_own_ways() -> None:
    """The first names its deliveries, the second signs a time."""
    mac = hmac.new(b"s3cret", BODY, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={mac}", "x-github-delivery": "d-1"}
    assert "d-1" == found(Scheme.GITHUB, headers, secret="s3cret")
    with pytest.raises(Forged):
        found(Scheme.GITHUB, headers, secret="other")
    mac = hmac.new(b"s3cret", b"%d." % NOW_S + BODY, hashlib.sha256).hexdigest()
    assert "" == found(Scheme.STRIPE, {"stripe-signature": f"t={NOW_S},v1={mac}"}, secret="s3cret")
    with pytest.raises(Forged, match="more than 300 s"):
        found(Scheme.STRIPE, {"stripe-signature": f"t={NOW_S},v1={mac}"}, secret="s3cret", now_s=NOW_S + 400)


def test_a_secret_that_is_no_base64_is_said_to_be_none() -> None:
    """Where its form is known by its beginning."""
    with pytest.raises(InvalidRoute, match="what follows is no base64"):
        key_of("whsec_%%%")
