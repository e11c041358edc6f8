"""Real nodes, seen from outside: a trace through an app, a scrape, health over gRPC, and a stop that is noticed."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import Callable

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.spoken import thin_channel, web_context

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
APP = b"""
from cluster import App

app = App("echo")


@app.processor(app.topic("orders", bytes), to="echoes")
def echo(order: bytes) -> bytes:
    return order
"""


def ask(url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> str:
    """GET, or POST where there is a body."""
    request = urllib.request.Request(url, body or None, {"content-type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=10, context=web_context()) as answer:
        return str(answer.read().decode())


async def test_one_trace_from_a_request_through_an_app_to_a_consumer(
    make_cluster: Callable[[int], LocalCluster],
) -> None:
    """And what was done for it is in the scrape."""
    cluster = make_cluster(1)
    cluster.start_all()
    await wait_ready(cluster)
    url = cluster.http_url(1)
    async with connect(cluster.addresses) as client:
        await client.create_topic("orders", partitions=1)
        await client.deploy_app(APP, file_name="echo.py", create_topics=True, partitions=1)
        told = await asyncio.to_thread(
            ask, f"{url}/topics/orders/records", b'{"value_text": "three apples"}', {"traceparent": PARENT}
        )
        assert 1 == json.loads(told)["receipts"][0]["count"]
        async for record in client.read("echoes", start="earliest"):
            assert b"three apples" == record.value
            assert [PARENT.encode()] == [item.value for item in record.headers if item.name == "traceparent"]
            break
    page = await asyncio.to_thread(ask, f"{url}/metrics")
    assert 'riverrun_published_records_total{topic="orders"} 1.0' in page
    assert 'riverrun_published_records_total{topic="echoes"} 1.0' in page
    assert "process_resident_memory_bytes" in page
    async with asyncio.timeout(30):  # lag is found out when somebody has asked
        while 'riverrun_task_lag_records{app="echo",stage="echo"} 0.0' not in page:
            await asyncio.sleep(0.5)
            page = await asyncio.to_thread(ask, f"{url}/metrics")


async def test_a_stop_is_told_before_it_happens_and_is_short(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Whoever watches hears NOT_SERVING; what the node led is led by others; it ends with code 0, in time."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses) as client, thin_channel(cluster.address(1)) as channel:
        await client.create_topic("orders", partitions=6)
        stub = health_pb2_grpc.HealthStub(channel)
        service = health_pb2.HealthCheckRequest(service="riverrun.v1.StreamService")
        watching = stub.Watch(service)
        async with asyncio.timeout(30):  # it takes requests before it has looked whether it is ready
            while health_pb2.HealthCheckResponse.SERVING != (await watching.read()).status:
                pass
        assert health_pb2.HealthCheckResponse.SERVING == (await stub.Check(service)).status
        cluster.kill(1, signal.SIGTERM)
        assert health_pb2.HealthCheckResponse.NOT_SERVING == (await watching.read()).status
        for number in range(6):
            await client.publish("orders", b"while it stops", partition=number)
        async with asyncio.timeout(10):
            while cluster.pid(1) is not None:  # noqa: ASYNC110  another process has no event of ours
                await asyncio.sleep(0.05)
    assert {1: 0} == cluster.stopped()
    events = [json.loads(line) for line in cluster.log_path(1).read_text().splitlines() if line.startswith("{")]
    handed = [event for event in events if event["event"] == "leaders_handed_over"]
    assert [0] == [event["left"] for event in handed]
