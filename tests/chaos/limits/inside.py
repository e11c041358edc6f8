"""What a small program sees of its clocks and limits."""
# ruff: noqa: TID251  the clocks of a process are what this is about

import asyncio
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import uvloop
from grpc import aio

WAIT_S = 0.1
KEPT: list[object] = []


def clocks() -> list[float]:
    """Wall and monotonic."""
    return [time.time(), time.monotonic()]


def waits() -> dict[str, tuple[float, float]]:
    """How long a wait of WAIT_S takes, by this process's own monotonic clock and truly, in all that can wait."""
    return {
        "sleep": _spent(lambda: time.sleep(WAIT_S)),
        "lock": _spent(_wait_for_a_lock),
        "queue": _spent(_wait_for_a_queue),
        "condition": _spent(_wait_for_a_condition),
        "asyncio": _spent(lambda: asyncio.run(asyncio.sleep(WAIT_S))),
        "uvloop": _spent(lambda: uvloop.run(asyncio.sleep(WAIT_S))),
        "grpc": _spent(_call_nobody),
        "grpc.aio": _spent(lambda: uvloop.run(_call_nobody_async())),
    }


def _spent(wait: Callable[[], object]) -> tuple[float, float]:
    began_s, truly_s = time.monotonic(), _up_s()
    wait()
    return time.monotonic() - began_s, _up_s() - truly_s


def _up_s() -> float:
    """A clock that no library stands before: it is a file."""
    return float(Path("/proc/uptime").read_text().split()[0])


def _wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=WAIT_S)


def _wait_for_a_queue() -> None:
    try:
        queue.Queue[int]().get(timeout=WAIT_S)
    except queue.Empty:
        return


def _wait_for_a_condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(WAIT_S)


def _call_nobody() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        try:
            channel.unary_unary("/no/body")(b"", timeout=WAIT_S, wait_for_ready=True)
        except grpc.RpcError:
            return


async def _call_nobody_async() -> None:
    async with aio.insecure_channel("127.0.0.1:1") as channel:
        try:
            await channel.unary_unary("/no/body")(b"", timeout=WAIT_S, wait_for_ready=True)
        except aio.AioRpcError:
            return


def more_files(count: int) -> int | str:
    """Open so many, and close them; how many, or what the system said."""
    opened = []
    try:
        for _ in range(count):
            opened.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401  those before the error are closed
    except OSError as error:
        return f"{error.errno} after {len(opened)}"
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return len(opened)


def listen() -> int:
    """A port where nobody has been accepted yet."""
    listener = socket.create_server(("127.0.0.1", 0))
    KEPT.append(listener)
    return int(listener.getsockname()[1])


def accept() -> str:
    """Take the next connection; its peer, or what the system said."""
    listener = KEPT[-1]
    assert isinstance(listener, socket.socket)
    try:
        connection, _ = listener.accept()
    except OSError as error:
        return str(error.errno)
    connection.close()
    return "accepted"


def take_memory(mib: int) -> str:
    """So much, and really use it."""
    try:
        KEPT.append(bytearray(os.urandom(1) * (mib << 20)))
    except MemoryError:
        return "MemoryError"
    return "taken"


def more_threads(count: int) -> str:
    """Start so many at the same time."""
    end = threading.Event()
    threads = []
    try:
        for _ in range(count):
            threads.append(threading.Thread(target=end.wait))
            threads[-1].start()
    except RuntimeError as error:
        return str(error)
    finally:
        end.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return "started"


def burn(seconds: float) -> float:
    """Compute for so long; the processor's seconds that this took."""
    began_s, cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() - began_s < seconds:
        sum(range(1000))
    return time.process_time() - cpu_s


def write_synced(path: str, kib: int) -> float:
    """Write so much and sync it; the seconds that it took."""
    began_s = time.monotonic()
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, os.urandom(1024) * kib)
    os.fsync(descriptor)
    os.close(descriptor)
    return time.monotonic() - began_s
