"""TLS: the broker's certificate is looked at, and ours is shown where it wants one."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.mqtt.options import MqttSink, MqttSource
from cluster.errors import InvalidRoute, RiverrunError, Unreachable
from tests.servers.certificates import make_certificates
from tests.servers.mosquitto import MosquittoServer

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With certificates."""
    made = Path(tempfile.mkdtemp(prefix="riverrun-tls-"))
    make_certificates(made)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[MosquittoServer]:
    """Which wants to see who comes."""
    files = f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key"
    server = MosquittoServer(saves=False, more=f"{files}\nrequire_certificate true")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def options(server: MosquittoServer, folder: Path, **more: Any) -> dict[str, Any]:
    """With all that it needs."""
    files = {"ca": f"{folder}/ca.pem", "cert": f"{folder}/client.pem", "key_file": f"{folder}/client.key"}
    return {"host": "127.0.0.1", "port": server.port, "tls": True, "timeout": "3s"} | files | more


async def test_messages_go_in_and_out(secure: MosquittoServer, folder: Path) -> None:
    """As without it."""
    source = MqttSource(**options(secure, folder), topics=["a/#"], format="bytes").open("", "tls")
    sink = MqttSink(**options(secure, folder), topic="a/b").open("tls")
    reading = asyncio.create_task(source.read(None))
    large = bytes(300_000)
    delivery = Delivery(value=large, key=None, timestamp_ns=0, headers=(), offset=0, id="r/t/0")
    while not reading.done():
        await sink.write([delivery], Position(lane="r/t/0", begin=0, end=1))
        await asyncio.wait([reading], timeout=0.1)
    found = (await reading).records
    await source.close()
    await sink.close()

    assert large == found[0].value


@pytest.mark.parametrize(
    ("more", "kind", "expected"),
    [
        ({"ca": ""}, InvalidRoute, "its certificate is not to be trusted: .*unable to get local issuer|self-signed"),
        ({"host": "localhost"}, InvalidRoute, "its certificate is not to be trusted: Hostname mismatch"),
        ({"ca": "/no/such.pem"}, InvalidRoute, "the files of TLS cannot be used: .*No such file"),
        ({"cert": "", "key_file": ""}, Unreachable, "mqtt 127.0.0.1"),
        ({"tls": False, "ca": "", "cert": "", "key_file": ""}, Unreachable, "hung up|lost"),
    ],
)
async def test_what_is_not_to_be_trusted(
    secure: MosquittoServer, folder: Path, more: dict[str, Any], kind: type[RiverrunError], expected: str
) -> None:
    """Says which side of it."""
    source = MqttSource(**options(secure, folder) | more, topics=["a"]).open("", "tls-not")
    with pytest.raises(kind, match=expected):
        await asyncio.wait_for(source.read(None), 10)
    await source.close()
