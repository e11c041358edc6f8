"""One real node: what it refuses, and what it survives."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.errors import (
    ChecksumMismatch,
    InvalidRequest,
    RecordTooLarge,
    TopicExists,
    UnknownCodec,
    UnknownPartition,
    UnknownTopic,
)
from cluster.real.network import RealNetwork
from cluster.real.tls import client_tls
from cluster.records import Record
from cluster.wire import api
from cluster.wire.api import records_pb2, stream_pb2
from cluster.wire.records import make_batch
from tests.spoken import thin_channel

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(60)]


def _run(cluster: LocalCluster, node: int = 1) -> "subprocess.CompletedProcess[str]":
    config = cluster.data_dir / f"node-{node}" / "node.toml"
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", "node", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


async def test_a_request_with_a_path_that_is_no_text_does_not_kill_the_server(
    make_cluster: Callable[[int], LocalCluster],
) -> None:
    """Grpcio 1.84.0 to 1.85.1 end their accept loop at such a request: it is why grpcio is pinned below."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    async with thin_channel(cluster.address(1)) as channel:
        with pytest.raises((aio.AioRpcError, UnicodeDecodeError)):
            await channel.unary_unary(b"/riverrun.v1.StreamService/Publis\xed")(b"x", timeout=2)
    async with connect(cluster.address(1)) as client:
        assert 1 == (await client.cluster_status()).controller


async def test_bad_requests_get_typed_errors(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Unknown topic and partition, wrong name, too large, damaged: each says what and why."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.address(1)) as client:
        await client.create_topic("orders", partitions=2, replicas=1)
        with pytest.raises(TopicExists):
            await client.create_topic("orders", partitions=3, replicas=1)
        with pytest.raises(InvalidRequest, match="no topic name"):
            await client.create_topic("__own", partitions=1)
        with pytest.raises(InvalidRequest, match="1 are alive"):
            await client.create_topic("wide", replicas=3)
        with pytest.raises(UnknownTopic):
            await client.publish("nothing", b"x")
        with pytest.raises(UnknownPartition):
            await client.publish("orders", b"x", partition=7)
        with pytest.raises(RecordTooLarge):
            await client.publish("orders", b"x" * (2 << 20))
    batch = api.batch_to_pb(make_batch([Record(value=b"v", timestamp_ns=1)]))
    for what, error in (
        ({"checksum": batch.checksum ^ 1}, ChecksumMismatch),
        ({"codec": 99}, UnknownCodec),
        ({"uncompressed_size": 1 << 31}, RecordTooLarge),
        ({"payload": bytes(5 << 20)}, RecordTooLarge),
    ):
        assert error.reason == await _reason(cluster.address(1), batch, what)


async def _reason(address: str, batch: records_pb2.Batch, different: dict[str, Any]) -> str:
    """Why a node refuses the batch with this difference."""
    wrong = records_pb2.Batch()
    wrong.CopyFrom(batch)
    for name, value in different.items():
        setattr(wrong, name, value)
    request = stream_pb2.PublishStreamRequest(correlation=1, topic="orders", partition=0, batch=wrong)
    channel = RealNetwork(client_tls(None)).channel(address)
    stream = channel.stream("/riverrun.v1.StreamService/PublishStream")
    await stream.send(request.SerializeToString())
    answer = stream_pb2.PublishStreamResponse.FromString(await stream.receive() or b"")
    stream.cancel()
    await channel.close()
    return answer.error.reason


async def test_a_thin_client_publishes_and_reads_typed_records(make_cluster: Callable[[int], LocalCluster]) -> None:
    """With nothing but the .proto files: records in, records out, through any node; reflection tells the rest."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses) as client:
        await client.create_topic("orders", partitions=4)
    records = [api.records_pb2.Record(value=b"v%d" % number, key=b"k%d" % number) for number in range(40)]
    for node in cluster.nodes:
        async with thin_channel(cluster.address(node)) as channel:
            publish = channel.unary_unary(
                "/riverrun.v1.StreamService/Publish",
                request_serializer=stream_pb2.PublishRequest.SerializeToString,
                response_deserializer=stream_pb2.PublishResponse.FromString,
            )
            answer = await publish(stream_pb2.PublishRequest(topic="orders", records=records), timeout=10)
            assert 40 == sum(receipt.record_count for receipt in answer.receipts)
            assert all(receipt.replicas_synced >= 2 and receipt.checksum_by_node for receipt in answer.receipts)
    async with thin_channel(cluster.address(2)) as channel:
        read = channel.unary_stream(
            "/riverrun.v1.StreamService/Read",
            request_serializer=stream_pb2.ReadRequest.SerializeToString,
            response_deserializer=stream_pb2.ReadResponse.FromString,
        )
        request = stream_pb2.ReadRequest(topic="orders", until=stream_pb2.Position(latest=True))
        values = [record.value async for response in read(request, timeout=10) for record in response.records]
        assert 120 == len(values)
        assert {record.value for record in records} == set(values)


async def test_an_unknown_topic_travels_as_a_rich_status(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Other languages see google.rpc.Status with ErrorInfo."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    async with thin_channel(cluster.address(1)) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/riverrun.v1.StreamService/Publish")(
                stream_pb2.PublishRequest(topic="nothing").SerializeToString(), timeout=5
            )
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    assert b"UNKNOWN_TOPIC" in dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]


async def test_a_second_process_on_one_directory_is_refused(make_cluster: Callable[[int], LocalCluster]) -> None:
    """One sentence, exit code 1, and the first one goes on."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    second = await asyncio.to_thread(_run, cluster)

    assert 1 == second.returncode
    assert "is in use by another process" in second.stderr
    async with connect(cluster.address(1)) as client:
        assert 1 == (await client.cluster_status()).controller


@pytest.mark.usefixtures("plain_text")
async def test_a_directory_of_another_cluster_is_refused(make_cluster: Callable[[int], LocalCluster]) -> None:
    """A wrong cluster id does not touch what is there."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    cluster.stop()
    config = cluster.data_dir / "node-1" / "node.toml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join('cluster_id = "' + "0" * 32 + '"' if "cluster_id" in line else line for line in lines))
    refused = await asyncio.to_thread(_run, cluster)

    assert 1 == refused.returncode
    assert "another cluster's" in refused.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not = [toml", "is not TOML"),
        ("node = 1", "Object missing required field"),
        ("nod = 1", "unknown field 'nod'"),
        ('node = "one"', "Expected `int`"),
    ],
)
def test_an_unreadable_configuration_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """The message names the file and what is wrong in it."""
    path = tmp_path / "node.toml"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "node", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert 1 == done.returncode
    assert str(path) in done.stderr
    assert says in done.stderr
