"""What the machine can do, measured in the same run: the ratios to it carry over to other machines, the figures do not.

- gRPC: one stream of messages into another process, answered one by one, nothing stored;
- disk: write and fdatasync of the same messages in one thread;
- pipeline: `pipeline.py`, the least that three processes can do.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc import aio

from tests.bench.pipeline import METHOD, OPTIONS

MESSAGE_BYTES = 256 * 1024
WINDOW = 32
"""Messages on their way."""
SINGLE_BYTES = 1024
READY_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of single messages, in milliseconds."""

    p50_ms: float
    p99_ms: float


def latencies(seconds: list[float]) -> Latencies:
    """The two figures."""
    ordered = sorted(seconds)
    return Latencies(ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3)


def disk_bytes_per_s(directory: Path, total_bytes: int) -> float:
    """Write and sync message after message."""
    message = os.urandom(MESSAGE_BYTES)
    path = directory / "yardstick"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    begin_s = time.perf_counter()
    for _ in range(total_bytes // MESSAGE_BYTES):
        os.write(file, message)
        os.fdatasync(file)
    spent_s = time.perf_counter() - begin_s
    os.close(file)
    path.unlink()
    return total_bytes // MESSAGE_BYTES * MESSAGE_BYTES / spent_s


def disk_latency(directory: Path, count: int) -> Latencies:
    """Write and sync single messages."""
    message = os.urandom(SINGLE_BYTES)
    path = directory / "yardstick"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    spent = []
    for _ in range(count):
        begin_s = time.perf_counter()
        os.write(file, message)
        os.fdatasync(file)
        spent.append(time.perf_counter() - begin_s)
    os.close(file)
    path.unlink()
    return latencies(spent)


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes messages and answers each with four bytes."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """One method, bytes in and out."""
        assert details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(self._answer)

    @staticmethod
    async def _answer(requests: AsyncIterator[bytes], context: aio.ServicerContext) -> None:
        async for _ in requests:
            await context.write((1).to_bytes(4, "big"))


async def serve_echo(port: int) -> None:
    """The gRPC yardstick's other process."""
    server = aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


@contextlib.contextmanager
def processes(commands: list[list[str]]) -> Iterator[None]:
    """Run Python modules beside this process, and end them."""
    running = [subprocess.Popen([sys.executable, "-m", *command]) for command in commands]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def echo(port: int) -> "contextlib.AbstractContextManager[None]":
    """The gRPC yardstick."""
    return processes([["tests.bench.yardsticks", str(port)]])


@contextlib.contextmanager
def pipeline(port: int, directory: Path) -> Iterator[None]:
    """The bare pipeline, its leader on `port`.

    Its files go when it ends: what is measured next must not have to take memory that the machine has never touched,
    which alone makes a megabyte cost up to twice as much.
    """
    ports = [port, port + 1, port + 2]
    paths = {each: directory / f"pipeline-{each}" for each in ports}
    commands = [["tests.bench.pipeline", str(each), str(paths[each])] for each in ports[1:]]
    commands.append(["tests.bench.pipeline", str(port), str(paths[port]), *map(str, ports[1:])])
    try:
        with processes(commands):
            yield
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


async def stream_bytes_per_s(port: int, total_bytes: int) -> float:
    """Send messages with a window, until all are answered."""
    message = os.urandom(MESSAGE_BYTES)
    count = total_bytes // MESSAGE_BYTES
    window = asyncio.Semaphore(WINDOW)
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        stream = await _connected(channel)

        async def receive() -> None:
            received = 0
            while received < count:
                acknowledged = int.from_bytes(await stream.read(), "big")
                received += acknowledged
                for _ in range(acknowledged):
                    window.release()

        receiving = asyncio.create_task(receive())
        begin_s = time.perf_counter()
        for _ in range(count):
            await window.acquire()
            await stream.write(message)
        await receiving
        spent_s = time.perf_counter() - begin_s
        stream.cancel()
    return count * MESSAGE_BYTES / spent_s


async def stream_latency(port: int, count: int) -> Latencies:
    """Send single messages, one after the other."""
    message = os.urandom(SINGLE_BYTES)
    spent = []
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        stream = await _connected(channel)
        for _ in range(count):
            begin_s = time.perf_counter()
            await stream.write(message)
            await stream.read()
            spent.append(time.perf_counter() - begin_s)
        stream.cancel()
    return latencies(spent)


async def _connected(channel: aio.Channel) -> aio.StreamStreamCall:
    """A stream whose whole path has carried a message."""
    async with asyncio.timeout(READY_S_MAX):
        stream = channel.stream_stream(METHOD)(wait_for_ready=True)
        await stream.write(b"first")
        await stream.read()
        return stream


if __name__ == "__main__":
    asyncio.run(serve_echo(int(sys.argv[1])))
