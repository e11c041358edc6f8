"""Three nodes with mutual TLS: all that nodes and clients say to each other, who is refused, new certificates."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import TlsOptions, connect, connect_blocking
from cluster.cli.certificates import LOCAL_HOSTS, Authority
from cluster.cli.config_file import read_config, write_config
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.config import ListenerConfig
from cluster.connectors.contract import Delivery, Position
from cluster.connectors.riverrun.options import RiverrunTopic, RiverrunTopicSink
from cluster.errors import Forbidden, Unreachable, Untrusted
from cluster.real.network import RealNetwork
from cluster.real.tls import client_tls
from cluster.types import ClusterId, NodeId
from cluster.wire.api import stream_pb2
from cluster.wire.certified import node_uri
from tests.conftest import require_tool
from tests.processes.apps import code, counted, counts, deploy, sale, sell

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes for all tests here."""
    with claimed_ports(3) as port:
        cluster = LocalCluster(tmp_path_factory.mktemp("tls"), nodes=3, port=port, speaks="mutual")
        cluster.start_all()
        try:
            asyncio.run(wait_ready(cluster))
            yield cluster
            assert {} == cluster.stopped(), "a node ended by itself"
        finally:
            codes = cluster.stop()
    assert {0} == set(codes.values())


def peer_listener(cluster: LocalCluster, node: int) -> str:
    """Where other nodes reach a node."""
    return read_config(cluster.config_path(node)).peer.bind


async def test_every_node_passes_on_and_gives_back(cluster: LocalCluster) -> None:
    """A client that knows one node only, and nothing of leaders: requests and streams take their hop between nodes."""
    tls = client_tls(cluster.tls)
    async with connect(cluster.addresses, tls=cluster.tls) as client:
        await client.create_topic("hops", partitions=3)
        for partition in range(3):
            receipt = await client.publish("hops", b"v%d" % partition, partition=partition)
            assert receipt.replicas_synced >= 2
    for node in cluster.nodes:
        channel = RealNetwork(tls).channel(cluster.address(node))
        stream = channel.stream("/riverrun.v1.StreamService/Read")
        request = stream_pb2.ReadRequest(topic="hops", until=stream_pb2.Position(latest=True))
        await stream.send(request.SerializeToString())
        await stream.finish()
        found = set()
        while (data := await stream.receive()) is not None:
            found |= {record.value for record in stream_pb2.ReadResponse.FromString(data).records}
        assert {b"v0", b"v1", b"v2"} == found
        await channel.close()


def test_scripts_groups_and_the_command_line(cluster: LocalCluster) -> None:
    """The blocking client and a member of a group; the command with options, and by its environment."""
    assert cluster.tls is not None
    with connect_blocking(cluster.address(2), tls=cluster.tls) as client:
        client.create_topic("lines", partitions=2)
        for number in range(10):
            client.produce("lines", b"%d" % number)
        client.flush()
        with client.subscribe("lines", group="g", start="earliest") as records:
            assert {b"%d" % number for number in range(10)} == {next(records).value for _ in range(10)}
    files = cluster.tls
    options = ["--tls-ca", files.ca_file, "--tls-cert", files.cert_file, "--tls-key", files.key_file]
    told = riverrun(cluster, "topic", "list", "--json", *options)
    assert "lines" in told.stdout, told.stderr
    by_environment = dict(zip(("CA", "CERT", "KEY"), options[1::2], strict=True))
    told = riverrun(
        cluster,
        "cluster",
        "status",
        "--json",
        **{f"RIVERRUN_TLS_{name}": file for name, file in by_environment.items()},
    )
    assert 0 == told.returncode, told.stderr
    told = riverrun(cluster, "topic", "list")
    assert 1 == told.returncode
    assert f"riverrun: {cluster.address(1)} speaks TLS, and was spoken to in plain text" in told.stderr
    assert 1 == len(told.stderr.splitlines())


def riverrun(cluster: LocalCluster, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command against the first node."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RIVERRUN_")}
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", *arguments],
        env=clean | {"RIVERRUN_SERVER": cluster.address(1)} | environment,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


async def test_tasks_ship_their_outputs(cluster: LocalCluster) -> None:
    """An app whose processors lead at different nodes; its results are at the leaders of their partitions."""
    async with connect(cluster.addresses, tls=cluster.tls) as client:
        await deploy(client, "till", code("till"))
        sales = [sale(number) for number in range(30)]
        await sell(client, "till", sales)
        assert counted(sales) == await counts(client, "till", 30)


async def test_a_route_reaches_another_cluster(cluster: LocalCluster) -> None:
    """As a sink and as a source, with the files that its options name; without them it waits, and says why."""
    assert cluster.tls is not None
    servers, files = cluster.address(1), cluster.tls
    own = {"ca": files.ca_file, "cert": files.cert_file, "key_file": files.key_file}
    async with connect(servers, tls=files) as client:
        await client.create_topic("there", partitions=1)
    sink = RiverrunTopicSink(servers=servers, topic="there", **own).open("")
    sent = Delivery(value=b"a", key=b"k", timestamp_ns=1, headers=(), offset=0, id="here/t/0@0")
    assert await sink.write([sent], Position(lane="here/t/0", begin=0, end=1))
    await sink.close()
    source = RiverrunTopic(servers=servers, topic="there", **own).open("0", "")
    first = await source.read(None)
    assert [b"a"] == [arrival.value for arrival in (await source.read(first.cursor)).records]
    await source.close()
    with pytest.raises(Unreachable, match="speaks TLS, and was spoken to in plain text"):
        await RiverrunTopic(servers=servers, topic="there").open("0", "").read(None)


async def test_https_with_curl(cluster: LocalCluster) -> None:
    """With a certificate; without one there is no answer."""
    assert cluster.tls is not None
    files = cluster.tls
    command = [require_tool("curl"), "-sS", "--cacert", files.ca_file, f"{cluster.http_url(1)}/readyz"]
    own = ["--cert", files.cert_file, "--key", files.key_file]
    done = await asyncio.to_thread(subprocess.run, [*command, *own], capture_output=True, check=True)
    assert json.loads(done.stdout)["ready"]
    refused = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert 0 != refused.returncode


async def test_only_nodes_are_served_where_nodes_talk(cluster: LocalCluster) -> None:
    """Not a client, whoever signed its certificate, and whatever it asks; nor does it pass for a node elsewhere."""
    tls = client_tls(cluster.tls)
    for method in (
        "/riverrun.internal.v1.PeerService/Exchange",
        "/riverrun.internal.v1.CoordinatorService/Attach",
        "/riverrun.internal.v1.TaskService/Ship",
        "/riverrun.internal.v1.TaskService/FetchState",
        "/riverrun.v1.StreamService/Read",
    ):
        channel = RealNetwork(tls).channel(peer_listener(cluster, 1))
        with pytest.raises(Forbidden, match="only nodes may ask this"):
            await channel.stream(method).receive()
        await channel.close()
    nobody = TlsOptions(ca_file=cluster.tls.ca_file) if cluster.tls is not None else None
    for tls in (client_tls(nobody), None):
        channel = RealNetwork(tls).channel(peer_listener(cluster, 1))
        with pytest.raises(Untrusted):
            await channel.call("/riverrun.v1.TopicService/ListTopics", b"", timeout_s=5)
        await channel.close()


async def test_new_certificates_are_taken_while_all_goes_on(cluster: LocalCluster, tmp_path: Path) -> None:
    """Another authority: first trusted beside the old one, then by what the nodes show, then alone. No node restarts.

    A node that is started again afterwards gets its links by the new certificates only.
    """
    assert cluster.tls is not None
    directory = Path(cluster.tls.ca_file).parent
    pids = [cluster.pid(node) for node in cluster.nodes]
    old = (directory / "ca.crt").read_bytes()
    authority = Authority.make(tmp_path, name="next")
    new = authority.ca_file.read_bytes()
    identity = ClusterId(bytes.fromhex(read_config(cluster.config_path(1)).cluster_id))
    client_files = authority.issue("client")
    theirs = TlsOptions(
        ca_file=str(authority.ca_file), cert_file=str(client_files.cert_file), key_file=str(client_files.key_file)
    )
    async with connect(cluster.addresses, tls=cluster.tls) as client:
        await client.create_topic("through", partitions=3)
        (directory / "ca.crt").write_bytes(old + new)
        for node in cluster.nodes:
            issued = authority.issue(f"node-{node}", hosts=LOCAL_HOSTS, uris=[node_uri(identity, NodeId(node))])
            shutil.copy(issued.key_file, directory)
            shutil.copy(issued.cert_file, directory)
            await client.publish("through", b"%d" % node)
        with pytest.raises(Untrusted, match="none of the CAs"):
            async with connect(cluster.address(1), tls=with_ca(cluster.tls, tmp_path / "old", old)):
                pass
        (directory / "ca.crt").write_bytes(new)
        async with connect(cluster.addresses, tls=theirs) as other:
            await other.publish("through", b"new")
        with pytest.raises(Untrusted, match="refuses the certificate"):
            async with connect(cluster.address(1), tls=cluster.tls):
                pass
        await client.publish("through", b"still")  # on the connection that it has
    assert pids == [cluster.pid(node) for node in cluster.nodes]
    cluster.kill(3)
    cluster.start(3)
    cluster.tls = theirs
    await wait_ready(cluster, within_s=PATIENCE_S)
    for node in cluster.nodes:
        read_again = "certificates_read_again" in cluster.log_path(node).read_text()
        assert read_again or node == 3, "the last one was told at its start"


async def test_dev_says_how_to_connect(tmp_path: Path) -> None:
    """What it prints can be put into a shell, and the cluster answers then."""
    with claimed_ports(1) as port:
        command = ["dev", "--nodes", "1", "--port", str(port), "--data-dir", str(tmp_path), "--tls", "mutual"]
        pipe = asyncio.subprocess.PIPE
        dev = await asyncio.create_subprocess_exec(sys.executable, "-m", "cluster.cli", *command, stdout=pipe)
        assert dev.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                lines: list[str] = []
                while not (lines and "export" in lines[-1]):
                    lines.append((await dev.stdout.readline()).decode())
            export = dict(item.split("=", 1) for item in lines[-1].split() if item != "export")
            assert {"RIVERRUN_TLS_CA", "RIVERRUN_TLS_CERT", "RIVERRUN_TLS_KEY"} == set(export)
            ask = [sys.executable, "-m", "cluster.cli", "cluster", "status", "--server", f"127.0.0.1:{port}"]
            await asyncio.to_thread(subprocess.run, ask, env=os.environ | export, capture_output=True, check=True)
        finally:
            dev.terminate()
            await dev.communicate()


async def test_plain_text_beyond_loopback_is_warned_about(tmp_path: Path) -> None:
    """At each start, by the listener's name."""
    with claimed_ports(1) as port:
        cluster = LocalCluster(tmp_path, nodes=1, port=port)
        path = cluster.config_path(1)
        config = read_config(path)
        write_config(replace(config, insecure=True, http=ListenerConfig(bind=f"0.0.0.0:{port + 200}")), path)
        cluster.start(1)
        try:
            await wait_ready(cluster)
            warned = [
                json.loads(line) for line in cluster.log_path(1).read_text().splitlines() if "without_tls" in line
            ]
            assert [("warning", "http")] == [(event["level"], event["listener"]) for event in warned]
        finally:
            cluster.stop()


def with_ca(tls: TlsOptions, path: Path, ca: bytes) -> TlsOptions:
    """The same with that authority."""
    path.write_bytes(ca)
    return TlsOptions(ca_file=str(path), cert_file=tls.cert_file, key_file=tls.key_file)
