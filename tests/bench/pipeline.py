"""A yardstick: the least that a leader and two followers can do. No Raft, no log format, no client library.

Three processes over grpc.aio: the leader takes messages of opaque bytes, writes and syncs them, sends them to both
followers, which do the same, and answers when two of the three have synced. Whatever riverrun does beyond this (terms,
sequences, checks, many partitions, records) is the difference that the benchmark shows.

Run by the benchmark: `python -m tests.bench.pipeline PORT FILE [FOLLOWER_PORT …]`; with followers it is the leader.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import grpc
import uvloop
from grpc import aio

METHOD = "/yardstick/Append"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
QUEUED_MAX = 8
"""Messages waiting for one follower's stream."""
COUNT_BYTES = 4
"""An acknowledgement is the number of messages that it covers."""


class SyncedFile:
    """Appends; one fdatasync covers all that waited."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[bytes, Callable[[], None]]] = []
        self._filled = asyncio.Event()

    def append(self, data: bytes, done: Callable[[], None]) -> None:
        """Write behind what was appended before; `done` is called when it is synced."""
        self._waiting.append((data, done))
        self._filled.set()

    async def run(self) -> None:
        """Write and sync for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            self._filled.clear()
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._write, [data for data, _ in group])
            for _, done in group:
                done()

    def _write(self, group: list[bytes]) -> None:
        for data in group:
            os.write(self._file, data)
        os.fdatasync(self._file)


class Acknowledgements:
    """Counts what is synced and streams the increase of what is acknowledged."""

    def __init__(self, copies: int) -> None:
        self._synced = [0] * copies
        self._changed = asyncio.Event()

    def add(self, copy: int, count: int = 1) -> None:
        """`copy` has synced so many more."""
        self._synced[copy] += count
        self._changed.set()

    async def stream(self, write: Callable[[bytes], object]) -> None:
        """Tell of every message that is on a majority, for ever."""
        told = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            majority = sorted(self._synced)[len(self._synced) // 2]
            if majority > told:
                await write((majority - told).to_bytes(COUNT_BYTES, "big"))  # type: ignore[misc]
                told = majority


class Node(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The leader, or a follower if it has no followers."""

    def __init__(self, path: str, followers: list[int]) -> None:
        self.file = SyncedFile(path)
        self._followers = followers

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """One method, bytes in and out."""
        assert details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(self._append)

    async def _append(self, requests: AsyncIterator[bytes], context: aio.ServicerContext) -> None:
        acknowledgements = Acknowledgements(1 + len(self._followers))
        queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(QUEUED_MAX) for _ in self._followers]
        tasks = [asyncio.create_task(acknowledgements.stream(context.write))]
        for place, port in enumerate(self._followers):
            channel = aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
            tasks.append(asyncio.create_task(self._follow(channel, queues[place], acknowledgements, place + 1)))
        try:
            async for data in requests:
                google_crc32c.value(data)
                self.file.append(data, lambda: acknowledgements.add(0))
                for queue in queues:
                    await queue.put(data)
            await asyncio.sleep(float("inf"))
        finally:
            for task in tasks:
                task.cancel()

    @staticmethod
    async def _follow(
        channel: aio.Channel, queue: "asyncio.Queue[bytes]", acknowledgements: Acknowledgements, copy: int
    ) -> None:
        async with channel:
            stream = channel.stream_stream(METHOD)()

            async def receive() -> None:
                async for count in stream:
                    acknowledgements.add(copy, int.from_bytes(count, "big"))

            receiving = asyncio.create_task(receive())
            try:
                while True:
                    await stream.write(await queue.get())
            finally:
                receiving.cancel()
                stream.cancel()


async def main(port: int, path: str, followers: list[int]) -> None:
    """Serve until killed."""
    node = Node(path, followers)
    server = aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((node,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await node.file.run()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], [int(port) for port in sys.argv[3:]]))
