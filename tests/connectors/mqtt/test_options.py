"""What may be written of a broker, and what contradicts itself."""

from typing import Any

import msgspec
import pytest

from cluster.connectors.contract import Guarantee
from cluster.connectors.mqtt.options import MqttSink, MqttSource
from cluster.errors import InvalidRoute


def source(**more: Any) -> MqttSource:
    """As a route file would have it."""
    return msgspec.convert({"kind": "mqtt", "host": "broker", "topics": ["a/#"]} | more, MqttSource)


def sink(**more: Any) -> MqttSink:
    """As a route file would have it."""
    return msgspec.convert({"kind": "mqtt", "host": "broker", "topic": "a/{id}"} | more, MqttSink)


def test_what_is_written_is_what_is_shown() -> None:
    """Without a password, in a summary and in what Python shows."""
    written = source(topics=["a", "b", "c", "d"], user="u", password="s3cret", tls=True)
    written.check()

    assert "mqtt broker:8883, a, b, c, …" == written.summary
    assert "<MqttSource broker:8883>" == repr(written)
    assert "mqtt broker:1883, a/{id}" == sink(user="u", password="s3cret").summary
    assert [Guarantee.AT_LEAST_ONCE] * 2 == [written.guarantee, sink().guarantee]


def test_readers() -> None:
    """One share for each, with names that stay."""
    assert [""] == source().shares()
    assert ["0", "1", "2"] == source(readers=3).shares()


def test_secrets_that_are_not_there_yet() -> None:
    """Are passed over by a check."""
    source(host="${HOST}", user="u", password="${file:/run/pw}", topics=["${SITE}/#"], keepalive="${K}").check()
    sink(topic="${SITE}/{id}").check()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"host": ""}, "host is empty"),
        ({"topics": ["a/#/b"]}, "the filter 'a/#/b'"),
        ({"topics": ["a", "a"]}, "written twice"),
        ({"password": "p"}, "a password without a user"),
        ({"ca": "/ca.pem"}, "TLS, which is off"),
        ({"tls": True, "cert": "/c.pem"}, "cert and key_file belong together"),
        ({"keepalive": "soon"}, "keepalive is 'soon'"),
        ({"timeout": "0ms"}, "timeout is '0ms'; it must be from 0.1 s"),
        ({"session_expiry": "100000d"}, "session_expiry"),
        ({"key": "level:x"}, "key is 'level:x'"),
        ({"group": "a/b"}, "group is 'a/b'"),
        ({"readers": 2, "retained": "take"}, "no broker sends retained messages to a group"),
        ({"version": "3.1.1", "readers": 2}, "are of MQTT 5"),
        ({"version": "3.1.1", "retained": "new"}, "needs MQTT 5"),
    ],
)
def test_a_source_that_contradicts_itself(more: dict[str, Any], expected: str) -> None:
    """One sentence that says what."""
    with pytest.raises(InvalidRoute, match=expected):
        source(**more).check()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"topic": "a/#"}, "wildcard"),
        ({"topic": ""}, "the topic is empty"),
        ({"topic": "$SYS/{id}"}, "the broker's own"),
        ({"topic": "a/{"}, "a lone '{'"),
        ({"topic": "a/{id!r}"}, "names no field"),
    ],
)
def test_a_sink_that_contradicts_itself(more: dict[str, Any], expected: str) -> None:
    """One sentence that says what."""
    with pytest.raises(InvalidRoute, match=expected):
        sink(**more).check()


@pytest.mark.parametrize("more", [{"topic": "x"}, {"port": 0}, {"receive_max": 0}, {"readers": 65}, {"topics": []}])
def test_what_is_no_option(more: dict[str, Any]) -> None:
    """The type says it."""
    with pytest.raises(msgspec.ValidationError):
        source(**more)
