"""What may be written of a Redis, and what contradicts itself."""

from typing import Any

import msgspec
import pytest

from cluster.connectors.contract import Guarantee
from cluster.connectors.redis.options import RedisSink
from cluster.errors import InvalidRoute


def sink(**more: Any) -> RedisSink:
    """As a route file would have it."""
    return msgspec.convert({"kind": "redis"} | more, RedisSink)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:s3cret@cache:7000/2", "redis cache:7000/2, set {key}"),
        ("rediss://cache", "redis cache:6379, set {key}"),
        ("unix:///run/redis.sock?db=1", "redis /run/redis.sock, set {key}"),
        ("redis://u:${PW}@cache/0", "redis cache:6379/0, set {key}"),
        ("redis://cache:${PORT}/0", "redis at an address that is not one, set {key}"),
        ("${file:/run/url}", "redis ${file:/run/url}, set {key}"),
    ],
)
def test_what_is_shown(url: str, expected: str) -> None:
    """No secret, also where one is still to be put in."""
    written = sink(url=url)
    written.check()

    assert expected == written.summary
    assert "s3cret" not in repr(written)


def test_guarantees() -> None:
    """What replaces itself, and what has a position."""
    found = {mode: sink(mode=mode).guarantee for mode in ("set", "hash", "list", "stream")}

    assert {
        "set": Guarantee.ONCE_BY_KEY,
        "hash": Guarantee.ONCE_BY_KEY,
        "list": Guarantee.EXACTLY_ONCE,
        "stream": Guarantee.EXACTLY_ONCE,
    } == found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"url": "http://u:s3cret@cache"}, "url is not that of a Redis"),
        ({"url": "redis://u:s3cret@cache:port/0"}, "url is not that of a Redis"),
        ({"url": "redis://"}, "url is not that of a Redis"),
        ({"url": "redis://cache/0?decode_responses=true"}, r"something behind '\?'"),
        ({"ca": "/ca.pem"}, "ca is of TLS"),
        ({"key": ""}, "key is empty"),
        ({"key": "a{"}, "a lone '{'"),
        ({"key": "prices"}, "each would replace the one before"),
        ({"mode": "list", "key": "l", "ttl": "1d"}, "ttl is for set and hash; a list is bounded by length_max"),
        ({"ttl": "soon"}, "ttl is 'soon'"),
        ({"length_max": 5}, "length_max is for list and stream, not for set"),
        ({"timeout": "1h"}, "timeout is '1h'; it must be from 0.1 s to 300 s"),
    ],
)
def test_a_sink_that_contradicts_itself(more: dict[str, Any], expected: str) -> None:
    """One sentence that says what, and no secret."""
    with pytest.raises(InvalidRoute, match=expected) as told:
        sink(**more).check()

    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("more", [{"mode": "zset"}, {"length_max": -1}, {"db": 3}])
def test_what_is_no_option(more: dict[str, Any]) -> None:
    """The type says it."""
    with pytest.raises(msgspec.ValidationError):
        sink(**more)
