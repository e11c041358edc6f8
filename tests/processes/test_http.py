"""The HTTP port of real nodes, asked with curl as a person would: events go in, and their live stream comes out."""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.conftest import require_tool
from tests.processes.test_nodes import _run
from tests.spoken import spoken, web_context

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(60)]
EVENT = {"specversion": "1.0", "id": "1", "source": "/till/7", "type": "example.sold"}


async def curl(url: str, *arguments: str) -> tuple[int, Any]:
    """Status and JSON of one answer."""
    command = [require_tool("curl"), "-sS", "-w", "\n%{http_code}", "--max-time", "20", url, *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


async def follow(url: str, *arguments: str) -> asyncio.subprocess.Process:
    """A stream of events."""
    return await asyncio.create_subprocess_exec(
        require_tool("curl"), "-sSN", url, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def next_event(process: asyncio.subprocess.Process) -> tuple[str, dict[str, Any]]:
    """Id and data of the next event."""
    assert process.stdout is not None
    last_id = ""
    while line := (await process.stdout.readline()).decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if name == "id":
            last_id = value
        elif name == "data":
            return last_id, json.loads(value)
    raise EOFError


async def test_events_go_in_and_come_out_with_curl(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Through different nodes; the stream is continued with the id that it gave, and ends with its node."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    urls = [cluster.http_url(node) for node in cluster.nodes]
    is_json = ("-H", "Content-Type: application/json")
    status, made = await curl(
        f"{urls[0]}/riverrun.v1.TopicService/CreateTopic", *is_json, "-d", '{"name": "sold", "partitions": 1}'
    )
    assert (200, "sold") == (status, made["topic"]["name"])
    live = await follow(f"{urls[1]}/topics/sold/events?from=earliest&format=cloudevents")
    headers = [item for name, text in EVENT.items() for item in ("-H", f"ce-{name}: {text}")]
    status, told = await curl(
        f"{urls[2]}/topics/sold/records", *headers, "-H", "Content-Type: text/plain", "-d", "three apples"
    )
    assert (200, True) == (status, told["receipts"][0]["replicas_synced"] >= 2)
    assert ("1", EVENT | {"datacontenttype": "text/plain", "data": "three apples"}) == await next_event(live)
    structured = EVENT | {"id": "2", "datacontenttype": "application/json", "data": {"apples": 3}}
    kind = ("-H", "Content-Type: application/cloudevents+json")
    status, _ = await curl(f"{urls[0]}/topics/sold/records", *kind, "-d", json.dumps(structured))
    assert 200 == status
    assert ("2", structured) == await next_event(live)
    live.terminate()
    await live.communicate()
    again = await follow(f"{urls[2]}/topics/sold/events?format=cloudevents", "-H", "Last-Event-ID: 1")
    assert ("2", structured) == await next_event(again)
    status, refused = await curl(f"{urls[0]}/topics/none/records")
    assert (404, "UNKNOWN_TOPIC") == (status, refused["reason"])
    assert {1: 0, 2: 0, 3: 0} == await asyncio.to_thread(cluster.stop), "an open stream does not hold up a node's end"
    with pytest.raises(EOFError):
        await next_event(again)
    await again.communicate()
    assert 0 == again.returncode, "the stream was ended, not cut"


async def test_a_taken_http_port_is_one_sentence(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Like the other ports: the node does not start, and says which one it is."""
    cluster = make_cluster(1)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), *cluster.http_address(1).split(":"))
    async with server:
        refused = await asyncio.to_thread(_run, cluster)

    assert 1 == refused.returncode
    assert f"cannot listen on {cluster.http_address(1)}" in refused.stderr


@pytest.mark.usefixtures("plain_text")
@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (['[http]\nbind = "0.0.0.0:7371"'], "the http listener 0.0.0.0:7371 is beyond loopback"),
        (['[http]\nbynd = "127.0.0.1:7371"'], "unknown field 'http.bynd'"),
        (['[http_options]\norigins = ["x"]'], "unknown field 'http_options.origins'"),
    ],
)
async def test_a_wrong_http_configuration_is_refused(
    make_cluster: Callable[[int], LocalCluster], lines: list[str], says: str
) -> None:
    """By the name of what is wrong."""
    cluster = make_cluster(1)
    config = cluster.config_path(1)
    config.write_text(without_http(config) + "\n" + "\n".join(lines) + "\n")
    refused = await asyncio.to_thread(_run, cluster)

    assert 1 == refused.returncode
    assert says in refused.stderr


async def test_a_configuration_without_http_keeps_working(
    make_cluster: Callable[[int], LocalCluster], pytestconfig: pytest.Config
) -> None:
    """As an earlier version wrote it: no such port, and nothing else is different; `dev` gives it one."""
    cluster = make_cluster(1)
    config = cluster.config_path(1)
    config.write_text(without_http(config) + "\n")
    cluster.start_all()
    await wait_ready(cluster)
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(urllib.request.urlopen, f"{cluster.http_url(1)}/healthz", None, 5)
    cluster.stop()
    cluster = LocalCluster(cluster.data_dir, nodes=1, port=cluster.port, speaks=spoken(pytestconfig))
    try:
        cluster.start_all()
        await wait_ready(cluster)
        url = f"{cluster.http_url(1)}/readyz"
        answer = await asyncio.to_thread(urllib.request.urlopen, url, None, 5, context=web_context())
        with answer:
            assert 200 == answer.status
    finally:
        cluster.stop()


def without_http(config: Path) -> str:
    """The file's text without its HTTP table."""
    return "\n[".join(table for table in config.read_text().split("\n[") if not table.startswith("http]"))
