"""TLS: Kafka's certificate is looked at, and ours is shown where it wants one."""

from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.kafka.options import KafkaSink, KafkaSource
from cluster.errors import InvalidRoute, RiverrunError
from tests.servers.certificates import make_certificates
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
DELIVERY = Delivery(value=b"x", key=None, timestamp_ns=1, headers=(), offset=0, id="lane@0")


def options(server: KafkaServer, **more: Any) -> dict[str, Any]:
    """With all that it needs."""
    files = {
        "ssl_ca_location": f"{server.directory}/ca.pem",
        "ssl_certificate_location": f"{server.directory}/client.pem",
        "ssl_key_location": f"{server.directory}/client.key",
    }
    return (
        {"bootstrap_servers": f"127.0.0.1:{server.tls_port}", "security_protocol": "SSL", "timeout": "12s"}
        | files
        | more
    )


async def test_records_go_in_and_out(server: KafkaServer) -> None:
    """As without it."""
    topic = server.topic("secure")
    sink = KafkaSink(topic=topic, **options(server)).open("tests")
    assert await sink.write([DELIVERY], Position(lane="lane", begin=0, end=1))
    await sink.close()
    source = KafkaSource(topics=(topic,), format="bytes", **options(server)).open("0", "tests")
    first = await source.read(None)
    assert [b"x"] == [record.value for record in (await source.read(first.cursor)).records]
    await source.close()


async def test_a_certificate_of_nobody_we_know_is_refused(server: KafkaServer, tmp_path: Path) -> None:
    """By us."""
    make_certificates(tmp_path)
    source = KafkaSource(topics=("any",), **options(server, ssl_ca_location=f"{tmp_path}/ca.pem")).open("0", "tests")
    with pytest.raises(InvalidRoute, match=r"TLS fails: .*certificate"):
        await source.read(None)
    await source.close()


async def test_who_shows_no_certificate_is_told(server: KafkaServer) -> None:
    """Where one is wanted."""
    bare = options(server, ssl_certificate_location="", ssl_key_location="", timeout="3s")
    source = KafkaSource(topics=("any",), **bare).open("0", "tests")
    with pytest.raises(RiverrunError, match=r"kafka 127\.0\.0\.1:\d+, topic any"):
        await source.read(None)
    await source.close()


async def test_a_file_that_is_not_there_is_said(server: KafkaServer) -> None:
    """With its name."""
    source = KafkaSource(topics=("any",), **options(server, ssl_ca_location="/nowhere/ca.pem")).open("0", "tests")
    with pytest.raises(InvalidRoute, match=r"/nowhere/ca\.pem|ssl\.ca\.location"):
        await source.read(None)
    await source.close()
