"""Standard input without standing still: what arrives is sent, though the next line may take its time."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator

CHUNK_BYTES = 64 * 1024
CHUNKS_WAITING_MAX = 16


async def lines() -> AsyncIterator[bytes]:
    """Each line without its end, as soon as it is there; the last one may lack the end."""
    rest = b""
    async for chunk in _chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


async def _chunks() -> AsyncIterator[bytes]:
    """The thread is left behind if nobody listens any more: a read from a terminal cannot be called back."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(CHUNKS_WAITING_MAX)

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            while data := os.read(sys.stdin.fileno(), CHUNK_BYTES):
                room.acquire()
                loop.call_soon_threadsafe(arrived.put_nowait, data)
            loop.call_soon_threadsafe(arrived.put_nowait, b"")

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while data := await arrived.get():
        room.release()
        yield data
