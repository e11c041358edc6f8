"""Code that no app has goes after its time, and nobody's deployment loses what it needs."""

import asyncio
import hashlib

import pytest
from google.protobuf.message import Message

from cluster.client.client import Client
from cluster.config import ProcessingOptions
from cluster.errors import InvalidRequest
from cluster.processing.code_sweeping import Unused
from cluster.processing.internal_topics import CODE_TOPIC
from cluster.wire.api import app_pb2
from tests.broker.thin import thin_channel
from tests.processing.deployed import FILES, Deploys, with_apps
from tests.processing.test_app_service import RETAIL, shop

FILES[b"shop 3"] = shop()


def test_a_file_goes_when_nobody_had_it_for_its_time() -> None:
    """An app that has it in between, or a piece that comes again, begins it anew; tombstones are no pieces."""
    unused = Unused()
    for key in (b"aa/0", b"aa/1", b"bb/0"):
        unused.found(key, deleted=False)
    assert [] == unused.look({"aa"}, 0.0, 10.0)
    assert [b"bb/0"] == unused.look({"aa"}, 10.0, 10.0)
    unused.found(b"bb/0", deleted=True)
    assert [] == unused.look({"aa"}, 20.0, 10.0)
    assert [] == unused.look((), 30.0, 10.0)
    assert [] == unused.look({"aa"}, 39.0, 10.0)
    assert [] == unused.look((), 40.0, 10.0)
    unused.found(b"aa/0", deleted=False)
    assert [] == unused.look((), 50.0, 10.0)
    assert [b"aa/0", b"aa/1"] == unused.look((), 60.0, 10.0)


class Short(Deploys):
    """Code goes after 20 s."""

    options = ProcessingOptions(
        deploy_from_anywhere=True, code_piece_bytes_max=1000, code_unused_s=20.0, code_look_s=3.0, code_wait_s_max=5.0
    )


async def keys(client: Client) -> set[bytes]:
    """Of the pieces that are there."""
    found: dict[bytes, bytes] = {}
    async for record in client.read(CODE_TOPIC, start="earliest", until="latest"):
        assert record.key is not None
        found[record.key] = record.value
    return {key for key, value in found.items() if value}


@pytest.mark.slow
@with_apps(cluster_class=Short, seeds=1)
async def test_what_apps_have_stays_and_the_rest_goes(cluster: Short, client: Client) -> None:
    """Also when another node leads; and what has gone can be deployed again."""
    await client.deploy_app(b"shop 1", file_name="shop.py")
    await client.deploy_app(RETAIL, file_name="retail.py")
    await client.deploy_app(b"shop 3", file_name="shop.py")
    assert 5 == len(await keys(client))
    await asyncio.sleep(40)
    assert 4 == len(await keys(client))
    assert (await client.describe_topic(CODE_TOPIC)).config.compacted
    for node in cluster.running.values():
        node.apps.store._kept.clear()
        for app in node.broker.directory.apps.values():
            for stage in app.stages:
                assert stage.code.size_bytes == len(await node.apps.store.read(stage.code))
    await client.remove_app("retail")
    leader = (await client.describe_topic(CODE_TOPIC)).partitions[0].leader
    assert leader is not None
    cluster.crash(int(leader))
    await asyncio.sleep(60)
    assert 1 == len(await keys(client))
    await client.deploy_app(b"shop 1", file_name="shop.py")
    for node in cluster.running.values():
        node.apps.store._kept.clear()
        (stage,) = node.broker.directory.apps["shop"].stages
        assert b"shop 1" == await node.apps.store.read(stage.code)


@pytest.mark.slow
@with_apps(cluster_class=Short, seeds=1)
async def test_what_was_uploaded_long_ago_is_to_be_uploaded_again(cluster: Short, client: Client) -> None:
    """It might go in the middle of its deployment; what an app has stays."""
    channel = thin_channel(cluster, 1)
    content = b"shop 1"
    sha256 = hashlib.sha256(content).digest()

    async def call(method: str, request: Message) -> bytes:
        return await channel.call(f"/riverrun.v1.AppService/{method}", request.SerializeToString(), timeout_s=60)

    data = await call("UploadCode", app_pb2.UploadCodeRequest(sha256=sha256, content=content))
    offset = app_pb2.UploadCodeResponse.FromString(data).offset
    uploaded = app_pb2.UploadedCode(sha256=sha256, size_bytes=len(content), offset=offset)
    request = app_pb2.DeployAppRequest(file_name="shop.py", uploaded=uploaded)
    await asyncio.sleep(15)
    with pytest.raises(InvalidRequest, match="hours ago; upload it again"):
        await call("DeployApp", request)
    await client.deploy_app(content, file_name="shop.py")
    await asyncio.sleep(60)
    await call("DeployApp", request)
