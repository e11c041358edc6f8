"""Five situations staged on real nodes: `riverrun explain` names each, with its exit code, and HTTP says the same."""

import asyncio
import dataclasses
import errno
import json
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.processes.disks.shim import Control, library, missing_for_shim
from cluster import connect
from cluster.cli.config_file import read_config, write_config
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.client.explaining import ExplanationView, FindingView, Severity
from cluster.config import ExplainOptions
from cluster.errors import RiverrunError
from tests.spoken import web_context

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
TOPIC = "orders"
PLACE = "orders/0"
PATIENCE_S = 30.0
HIT = 2
"""The node whose disk is damaged, and that stands still."""


class Staged:
    """A cluster, the disk of one node, and a client of the others; `said`: what the command printed the last time."""

    def __init__(self, cluster: LocalCluster, disk: Control, client: Client) -> None:
        self.cluster = cluster
        self.disk = disk
        self.client = client
        self.said = ""

    async def run(self, *words: str) -> tuple[int, str]:
        """`riverrun explain …`, asked of node 1: exit code and output."""
        command = [sys.executable, "-m", "cluster.cli", "explain", *words, "--server", self.cluster.address(1)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def ask(self, kind: str, name: str) -> ExplanationView | None:
        """From the client; None: it cannot be told just now."""
        with suppress(RiverrunError):
            match kind:
                case "group":
                    return await self.client.explain_group(name)
                case "node":
                    return await self.client.explain_node(int(name))
                case _:
                    return await self.client.explain_partition(TOPIC, 0)
        return None

    async def told(self, code: str, kind: str, name: str) -> FindingView:
        """The finding, as soon as it is told; the command prints it then, and its exit code is 1."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.ask(kind, name)
                if found is not None and code in found.codes:
                    exit_code, self.said = await self.run(kind, name)
                    if code in self.said:
                        assert 1 == exit_code
                        return next(finding for finding in found.findings if finding.code == code)
                await asyncio.sleep(0.2)

    async def healthy(self, kind: str, name: str) -> None:
        """Return when nothing is wrong."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.ask(kind, name)) is None or not found.healthy:  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    @asynccontextmanager
    async def publishing(self, value: bytes = b"x" * 1_000) -> AsyncIterator[None]:
        """Into partition 0, all the time."""

        async def publish() -> None:
            while True:
                with suppress(RiverrunError):
                    await self.client.publish(TOPIC, value, partition=0)
                await asyncio.sleep(0.02)

        task = asyncio.create_task(publish())
        try:
            yield
        finally:
            task.cancel()


async def test_five_situations_are_named(
    make_cluster: Callable[[int], LocalCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk, a full one, a lagging follower, a stuck member, no quorum; each healthy again before the next."""
    if missing_for_shim():
        pytest.skip(missing_for_shim())
    cluster = make_cluster(3)
    for node in cluster.nodes:
        path = cluster.config_path(node)
        config = dataclasses.replace(read_config(path), explain=ExplainOptions(stuck_ms_min=2_000))
        write_config(config, path)
    disk = Control(tmp_path / "disk")
    environment = disk.environment(cluster.data_dir / f"node-{HIT}" / "data") | {"LD_PRELOAD": str(library())}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cluster.start_all()
    for name in environment:
        monkeypatch.delenv(name)
    await wait_ready(cluster)
    async with connect([cluster.address(1), cluster.address(3)]) as client:
        await client.create_topic(TOPIC, partitions=1)
        staged = Staged(cluster, disk, client)
        async with staged.publishing():
            await staged.healthy("partition", PLACE)
            exit_code, said = await staged.run("partition", PLACE)
            assert (0, f"partition {PLACE}: nothing waits") == (exit_code, said.splitlines()[0])
            await slow_disk(staged)
            await full_disk(staged)
            await lagging_follower(staged)
        await stuck_member(staged)
        await no_quorum(staged)
        await client.abandon()
    disk.close()


async def slow_disk(staged: Staged) -> None:
    """Each sync of one node takes 700 ms."""
    staged.disk.set(sync_delay_ms=700)
    finding = await staged.told("SLOW_DISK", "partition", PLACE)
    print(staged.said)
    assert (HIT,) == finding.nodes
    assert finding.numbers["usual_write_ms"] >= 200 or finding.numbers["under_way_ms"] >= 1_000
    assert f"the disk of node {HIT} is slow" in finding.cause
    staged.disk.clear()
    for _ in range(20):
        await staged.client.publish(TOPIC, b"quick again", partition=0)
        await asyncio.sleep(0.05)
    await staged.healthy("partition", PLACE)


async def full_disk(staged: Staged) -> None:
    """Each write of one node is refused for want of room."""
    staged.disk.set(write_errno=errno.ENOSPC, write_every=1)
    finding = await staged.told("DISK_FULL", "partition", PLACE)
    print(staged.said)
    assert (HIT,) == finding.nodes
    assert f"the disk of node {HIT} is full" in finding.cause
    finding = await staged.told("DISK_FULL", "node", str(HIT))
    assert (HIT,) == finding.nodes
    staged.disk.clear()
    await staged.healthy("partition", PLACE)


async def lagging_follower(staged: Staged) -> None:
    """One node stands still (SIGSTOP)."""
    staged.cluster.kill(HIT, signal.SIGSTOP)
    try:
        finding = await staged.told("LAGGING_FOLLOWER", "partition", PLACE)
        print(staged.said)
        assert (HIT,) == finding.nodes
        assert finding.numbers["behind_entries"] > 0
        assert finding.numbers["behind_bytes"] > 1_000 * finding.numbers["behind_entries"]
        assert 0 == finding.numbers["moved_entries"]
        finding = await staged.told("NODE_DEAD", "node", str(HIT))
        assert f"node {HIT} does not answer" in finding.cause
    finally:
        staged.cluster.kill(HIT, signal.SIGCONT)
    await staged.healthy("partition", PLACE)


async def stuck_member(staged: Staged) -> None:
    """A member takes a record and never comes back for the next one."""
    client = await connect([staged.cluster.address(1)])
    subscription = client.subscribe(TOPIC, group="billing", name="biller-1")
    await anext(subscription)
    finding = await staged.told("MEMBER_STUCK", "group", "billing")
    print(staged.said)
    assert finding.cause.startswith(f"member 1 (biller-1) is connected and holds {PLACE}")
    assert finding.numbers["quiet_ms"] >= 2_000
    assert finding.numbers["lag_records"] > 20
    async with asyncio.timeout(PATIENCE_S):
        end = (await client.offsets(TOPIC))[0].end
        while (await anext(subscription)).offset < end - 1:
            pass
    await subscription.commit()
    await staged.healthy("group", "billing")
    await subscription.close()
    answer = await over_http(staged, {"group": "billing"})
    assert "NO_MEMBERS" in [finding["code"] for finding in answer["findings"]]
    await client.close()


async def over_http(staged: Staged, request: dict[str, Any]) -> dict[str, Any]:
    """The same, asked in JSON at the HTTP port."""
    url = f"{staged.cluster.http_url(1)}/riverrun.v1.ExplainService/Explain"
    asked = urllib.request.Request(url, json.dumps(request).encode(), {"Content-Type": "application/json"})
    context = web_context()
    answer = await asyncio.to_thread(lambda: urllib.request.urlopen(asked, timeout=20, context=context).read())
    return dict(json.loads(answer))


async def no_quorum(staged: Staged) -> None:
    """Two of the three nodes are gone."""
    staged.cluster.kill(2)
    staged.cluster.kill(3)
    finding = await staged.told("NO_QUORUM", "partition", PLACE)
    print(staged.said)
    assert (2, 3) == finding.nodes
    assert "node 2 does not answer and node 3 does not answer" in finding.cause
    finding = await staged.told("COORDINATOR_UNKNOWN", "group", "billing")
    print(staged.said)
    assert finding.cause.startswith("its coordinator cannot be asked")
    found = json.loads((await staged.run("partition", PLACE, "--json"))[1])
    assert ("NO_QUORUM", False) == (found["findings"][0]["code"], found["healthy"])
    staged.cluster.start(3)
    async with asyncio.timeout(PATIENCE_S):
        while not await is_led_again(staged):  # noqa: ASYNC110  that it asks is the point
            await asyncio.sleep(0.2)


async def is_led_again(staged: Staged) -> bool:
    """What is left is that node 2 is away: nobody waits for that."""
    found = await staged.ask("partition", PLACE)
    return found is not None and all(one.severity is not Severity.CRITICAL for one in found.findings)
