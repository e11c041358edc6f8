"""External workers over real gRPC: tasks wait for one, share them out, and go on in another when one is lost."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from cluster.config import ProcessingOptions, WorkerOptions
from cluster.errors import HostFailed, InvalidApp, InvalidRequest, LimitReached, ProcessorFailed
from cluster.processing.hosting.frames import PROTOCOL
from cluster.processing.hosting.workers import Workers
from cluster.processing.hosts import CodeFile, Seat
from cluster.real.external import ExternalWorker, served
from cluster.real.hosts import RealHosts
from cluster.real.network import RealNetwork
from cluster.wire.api import cluster_pb2
from cluster.wire.work import WORK, hello
from cluster.world import Route
from tests.processing.apps import shop as app
from tests.processing.hosting.works import SHOP, Kept, shop, source, values, work, work_of
from tests.real.test_hosts import MIB, processes, until

pytestmark = pytest.mark.slow
OPTIONS = WorkerOptions(nodes_interval_s=0.2, retry_s_min=0.05, retry_s_max=0.5)


class Node:
    """What of a node a worker sees: the cluster's nodes, and where it connects."""

    def __init__(self, root, **options) -> None:
        self._options = ProcessingOptions(**options)
        self.workers = Workers(self._options, version="test")
        self.hosts = RealHosts(root, self._options, self.workers)
        self.address = "127.0.0.1:0"
        self.others: list[Node] = []

    async def __aenter__(self):
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hosts.close()
        await self.listener.close(0)

    async def listen(self) -> None:
        """Be there, at the address that it had before."""
        routes = {**self.workers.routes(), "/riverrun.v1.ClusterService/GetCluster": Route(unary=self._cluster)}
        self.listener = await RealNetwork().listen(self.address, routes, public=True)
        self.address = self.listener.address

    async def open(self, stage: str = "total", *, version: int = 1, code: CodeFile | None = None, kept=None):
        """A task's runner."""
        seat = Seat(app="shop", stage=stage, version=version, task=0, tasks=1, partitions=1)
        return await self.hosts.open(code or shop(), seat, (kept or Kept()).read, external=True)

    async def connected(self, count: int = 1) -> None:
        """Wait until so many workers are there."""
        await until(lambda: len(self.workers._workers) == count)

    async def _cluster(self, request: bytes, call: object) -> bytes:
        del request, call
        nodes = [
            cluster_pb2.Node(id=number, client_address=node.address)
            for number, node in enumerate([self, *self.others], 1)
        ]
        return cluster_pb2.GetClusterResponse(nodes=nodes, answered_by=1).SerializeToString()


@contextlib.asynccontextmanager
async def worker(node: Node, code: str = str(SHOP), *, name: str = "w", any_code: bool = False, said=None):
    """A worker that is stopped at the end."""
    said = [] if said is None else said
    external = ExternalWorker(
        served(code),
        node.address,
        OPTIONS,
        name=name,
        version="test",
        any_code=any_code,
        say=said.append,
        log=lambda stream, line: said.append(f"{stream}: {line}"),
    )
    running = asyncio.create_task(external.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_a_task_waits_for_a_worker_and_runs_there(tmp_path) -> None:
    """Nothing is done before one is there, and the node says what is missing; then it is as with a process here."""
    async with Node(tmp_path) as node:
        kept = Kept()
        opening = asyncio.create_task(node.open(kept=kept))
        await until(lambda: bool(node.hosts.trouble(shop())))
        assert (
            "no worker for total@1 of shop.py is connected: "
            "start one with `riverrun worker shop.py --connect HOST:PORT`" == node.hosts.trouble(shop())
        )
        async with worker(node):
            host = await opening
            assert not node.hosts.trouble(shop())
            first = await host.run(work(1, 1, 2))
            kept.commit(first)
            host.committed(1)
            with pytest.raises(ProcessorFailed, match="at offset 1: ValueError: a bad order"):
                await host.run(work(2, 3, app.BAD))
            assert ([1, 3], [6]) == (values(first), values(await host.run(work(2, 3))))
            assert [] == [process for process in processes(tmp_path) if process != os.getpid()]


async def test_frames_larger_than_a_message_go_in_pieces(tmp_path) -> None:
    """Works, state and effects of many megabytes, both ways, and of several tasks at once."""
    code = source(
        "@app.processor(orders, to='out')\ndef total(order: Order, kept: State[bytes]) -> int:\n"
        "    kept.value = kept.value + b'1'\n    return order.n",
        "big.py",
    )
    code = CodeFile(name=code.name, app="", content=code.content.replace(b'App("mine")', b'App("shop")'))
    path = tmp_path / "big.py"
    path.write_bytes(code.content)
    async with Node(tmp_path / "data") as node, worker(node, str(path)):
        kept = Kept()
        kept.values["kept", b"a"] = b"\xc6" + (9 * MIB).to_bytes(4, "big") + bytes(9 * MIB)
        tasks = [await node.open(code=code, kept=kept) for _ in range(3)]
        padding = b" " * 5 * MIB
        for n in range(1, 3):
            answers = await asyncio.gather(*(task.run(work_of(n, [b'{"n":1}' + padding])) for task in tasks))
            assert [9 * MIB + n] * 3 == [len(effects.state[0].value) - 5 for effects in answers]


async def test_a_worker_that_dies_is_told_and_another_goes_on(tmp_path) -> None:
    """Whose work it was, and which worker; the others are not disturbed, and the one that died comes back."""
    async with Node(tmp_path) as node, worker(node, name="first"), worker(node, name="second"):
        await node.connected(2)
        guilty, other, third = await node.open(), await node.open(), await node.open()
        with pytest.raises(HostFailed) as caught:
            await guilty.run(work(1, app.DEADLY))
        assert ("exit", "yes") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
        assert caught.value.message in {
            f"worker {name}: its process ended with exit code 3" for name in ("first", "second")
        }
        assert [1] == values(await other.run(work(1, 1)))
        with pytest.raises(HostFailed) as shared:
            await third.run(work(1, 1))
        assert "no" == shared.value.metadata["at_work"]
        again = await node.open()
        assert [2] == values(await again.run(work(1, 2)))
        await node.connected(2)


async def test_a_worker_that_is_lost_is_nobodys_fault(tmp_path) -> None:
    """Its tasks open another one; no work is to blame."""
    async with Node(tmp_path) as node, worker(node, name="stays"):
        await node.connected()
        async with worker(node, name="leaves"):
            await node.connected(2)
            hosts = [await node.open(), await node.open()]
            running = [asyncio.create_task(host.run(work(1, 1))) for host in hosts]
            await asyncio.wait(running)
        with pytest.raises(HostFailed) as caught:
            await asyncio.gather(*(host.run(work(2, 1)) for host in hosts))
        assert ("exit", "no") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
        assert "worker leaves was lost" == caught.value.message
        assert [1] == values(await (await node.open()).run(work(1, 1)))


async def test_a_worker_that_hangs_is_ended_by_the_node(tmp_path) -> None:
    """Its process is killed, and started again."""
    said: list[str] = []
    async with Node(tmp_path, work_s_max=1.0) as node, worker(node, said=said):
        host = await node.open()
        with pytest.raises(HostFailed) as caught:
            await host.run(work(1, app.ENDLESS))
        assert ("hang", "yes") == (caught.value.metadata["cause"], caught.value.metadata["at_work"])
        assert [1] == values(await (await node.open()).run(work(1, 1)))
        assert f"not serving {node.address}: a work took longer than 1 s; trying again" in said


async def test_other_code_is_not_taken_for_what_was_deployed(tmp_path) -> None:
    """Unless the worker says that it serves whatever was; a stage that it does not have it never gets."""
    changed = CodeFile(name="shop.py", app="", content=SHOP.read_bytes() + b"\n# changed\n")
    async with Node(tmp_path) as node:
        async with worker(node):
            await node.connected()
            opening = asyncio.create_task(node.open(code=changed))
            await until(lambda: bool(node.hosts.trouble(changed)))
            assert (
                "no worker for total@1 of shop.py is connected; there are "
                f"w (shop, code {shop().sha256.hex()[:12]})" == node.hosts.trouble(changed)
            )
            async with worker(node, any_code=True, name="any"):
                assert [1] == values(await (await opening).run(work(1, 1)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await node.open("total", version=7)


async def test_code_that_only_a_worker_can_import_can_be_deployed(tmp_path) -> None:
    """A worker that runs the very file has said what is in it; nothing else imports it here."""
    path = tmp_path / "worker" / "elsewhere.py"
    path.parent.mkdir()
    (path.parent / "beside_it.py").write_text("from tests.processing.apps.shop import app")
    path.write_text("from beside_it import app")
    code = CodeFile(name=path.name, app="", content=path.read_bytes())
    async with Node(tmp_path / "data") as node:
        with pytest.raises(InvalidApp, match="No module named 'beside_it'"):
            await node.hosts.describe(code)
        async with worker(node, str(path)):
            await node.connected()
            assert app.app.specs() == await node.hosts.describe(code)
            assert [1] == values(await (await node.open(code=code)).run(work(1, 1)))


async def test_tasks_are_shared_out_among_workers_and_a_worker_serves_all_nodes(tmp_path) -> None:
    """Each worker has as many as any other; a node that comes later is found."""
    async with Node(tmp_path / "1") as one, worker(one, name="a"), worker(one, name="b"):
        await one.connected(2)
        hosts = [await one.open() for _ in range(6)]
        assert [3, 3] == [len(worker.conversation.seats) for worker in one.workers._workers]
        async with Node(tmp_path / "2") as other:
            one.others.append(other)
            await other.connected(2)
            assert [1] == values(await (await other.open()).run(work(1, 1)))
        assert [[1]] * 6 == [values(await host.run(work(1, 1))) for host in hosts]


async def test_a_worker_comes_back_to_a_node_that_does(tmp_path) -> None:
    """With back-off, for as long as it takes."""
    async with Node(tmp_path) as node, worker(node):
        host = await node.open()
        await node.listener.close(0)
        with pytest.raises(HostFailed, match="worker w was lost"):
            await host.run(work(1, 1))
        await node.listen()
        assert [1] == values(await (await node.open()).run(work(1, 1)))


async def test_who_is_no_worker_is_refused(tmp_path) -> None:
    """A first message that says nothing, another version, and one more than there may be."""
    good = {"app": "shop", "code_sha256": b"", "worker": "x", "version": "0", "protocol": PROTOCOL}
    async with Node(tmp_path, workers_max=1) as node:
        channel = RealNetwork().channel(node.address)

        async def ask(first: bytes) -> bytes | None:
            stream = channel.stream(WORK)
            await stream.send(first)
            return await stream.receive()

        try:
            with pytest.raises(InvalidRequest, match="a worker has to say first which app it serves"):
                await ask(b"")
            with pytest.raises(InvalidRequest, match=r"another version of riverrun \(0; this node: test\)"):
                await ask(hello(**{**good, "protocol": PROTOCOL + 1}))
            assert await ask(hello(**good))
            with pytest.raises(LimitReached, match="1 workers are connected"):
                await ask(hello(**good))
        finally:
            await channel.close()


async def test_code_that_does_not_load_serves_nobody(tmp_path) -> None:
    """Whoever starts such a worker is told at once."""
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name")
    empty = tmp_path / "empty.py"
    empty.write_text("from cluster.processing.app import App\napp = App('shop')")
    async with Node(tmp_path) as node:
        for code, why in ((path, "line 1 of broken.py: ModuleNotFoundError"), (empty, "its app has no processors")):
            async with worker(node, str(code)) as running:
                with pytest.raises(InvalidApp, match=why):
                    await running
    with pytest.raises(InvalidApp, match=r"there is no file .*none\.py"):
        served(str(tmp_path / "none.py"))


@pytest.mark.parametrize("code", [str(SHOP), f"{SHOP}:app", "tests.processing.apps.shop:app"])
async def test_the_command_serves_until_it_is_interrupted(tmp_path, code: str) -> None:
    """As a process of its own; Ctrl-C ends it and what it has started, with exit code 0."""
    async with Node(tmp_path) as node:
        command = [sys.executable, "-m", "cluster.cli", "worker", code, "--connect", node.address, "--name", "mine"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        try:
            host = await node.open()
            assert [1] == values(await host.run(work(1, 1)))
            process.send_signal(signal.SIGINT)
            out, _ = await asyncio.to_thread(process.communicate)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)

    assert f"serving shop at {node.address}\n" == out
    assert 0 == process.returncode


async def test_the_command_says_what_is_wrong_with_its_file(tmp_path) -> None:
    """In a sentence, with exit code 1."""
    path = tmp_path / "broken.py"
    path.write_text("def f(:")
    command = [sys.executable, "-m", "cluster.cli", "worker", str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)

    assert (1, "riverrun: broken.py does not import: line 1 of broken.py: SyntaxError: invalid syntax\n") == (
        done.returncode,
        done.stderr,
    )
