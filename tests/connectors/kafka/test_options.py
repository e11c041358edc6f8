"""What may be written of a Kafka, and what contradicts itself."""

from typing import Any

import pytest

from cluster.connectors.contract import Guarantee
from cluster.connectors.kafka.options import KafkaSink
from cluster.connectors.registry import Registry, Side
from cluster.errors import InvalidRoute

SASL = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "s3cret"}


def options(side: Side, **more: Any) -> Any:
    """As a route file would have it."""
    rest = {"topics": ["orders", "refunds"]} if side is Side.SOURCE else {"topic": "alerts"}
    return Registry().options(side, {"kind": "kafka", "bootstrap_servers": "k1:9092,k2:9093"} | rest | more)


def test_what_is_shown() -> None:
    """Where and what, no password; what is promised."""
    source, sink = options(Side.SOURCE, tasks=3, **SASL), options(Side.SINK, **SASL)
    assert "kafka k1:9092,k2:9093, topics orders, refunds" == source.summary
    assert "kafka k1:9092,k2:9093, topic alerts" == sink.summary
    assert ["0", "1", "2"] == list(source.shares())
    assert (Guarantee.EXACTLY_ONCE, Guarantee.AT_LEAST_ONCE) == (source.guarantee, sink.guarantee)
    assert "s3cret" not in repr(source) + repr(sink)


def test_secrets_are_still_to_be_put_in() -> None:
    """What stands for them passes."""
    found = options(Side.SINK, **SASL | {"sasl_password": "${PW}"}, bootstrap_servers="${KAFKA}", timeout="${T}")
    assert isinstance(found, KafkaSink)


@pytest.mark.parametrize(
    ("side", "more", "says"),
    [
        (Side.SINK, {"bootstrap_servers": "k1"}, "bootstrap_servers is not right"),
        (Side.SINK, {"bootstrap_servers": "kafka://u:s3cret@k1:9092"}, "bootstrap_servers is not right"),
        (Side.SINK, {"topic": "alerts/{region}"}, "is no name of a Kafka topic"),
        (Side.SINK, {"topic": ""}, "is no name of a Kafka topic"),
        (Side.SINK, {"timeout": "1m"}, "timeout is '1m'; it must be from 1 s to 15 s"),
        (Side.SINK, {"config": {"acks": "0"}}, "config may not say 'acks': all replicas"),
        (Side.SINK, {"compression_type": "rar"}, "kafka: compression_type"),
        (Side.SINK, SASL | {"sasl_password": ""}, "SASL_SSL: it needs sasl_username and sasl_password"),
        (Side.SINK, {"sasl_username": "u"}, "PLAINTEXT: a user is of SASL_SSL or SASL_PLAINTEXT"),
        (Side.SINK, {"ssl_ca_location": "/ca.pem"}, "certificates are of SSL or SASL_SSL"),
        (
            Side.SINK,
            {"security_protocol": "SSL", "ssl_key_location": "/key.pem"},
            "ssl_certificate_location and ssl_key_location belong together",
        ),
        (Side.SOURCE, {"topics": []}, "kafka: topics"),
        (Side.SOURCE, {"topics": ["a", "a"]}, "one of the topics is written twice"),
        (Side.SOURCE, {"tasks": 0}, "kafka: tasks"),
        (Side.SOURCE, {"config": {"group.id": "mine"}}, "config may not say 'group.id': partitions are dealt out"),
        (Side.SOURCE, {"look": "1ms"}, "look is '1ms'"),
        (Side.SOURCE, {"group": "mine"}, "kafka has no option 'group'"),
    ],
)
def test_what_contradicts_itself(side: Side, more: dict[str, Any], says: str) -> None:
    """One sentence, and no secret."""
    with pytest.raises(InvalidRoute) as told:
        options(side, **more)

    assert says in told.value.message
    assert "s3cret" not in told.value.message
