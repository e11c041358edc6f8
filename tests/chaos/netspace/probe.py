"""A small program that stands in a place and measures: `probe.py serve|send|numbers|echo|trip|hold HOST …`; prints JSON.

Runs in another process and namespace, so it imports nothing of ours.
"""

import asyncio
import contextlib
import json
import socket
import sys
import time

DATAGRAMS, ECHO, NUMBERS = 9000, 9001, 9002
WAIT_S = 3.0


class _Counter(asyncio.DatagramProtocol):
    """Remembers the numbers that came, answers those that ask to be answered."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if data.startswith(b"?"):
            self.transport.sendto(data, address)
        else:
            self.numbers.append(int(data))


async def serve(host: str) -> None:
    """Until it is killed."""
    _, counter = await asyncio.get_running_loop().create_datagram_endpoint(_Counter, local_addr=(host, DATAGRAMS))

    async def numbers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(counter.numbers).encode())
        counter.numbers = []
        writer.close()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    await asyncio.start_server(echo, host, ECHO)
    await asyncio.start_server(numbers, host, NUMBERS)
    print("up", flush=True)
    await asyncio.Event().wait()


async def send(host: str, count: str) -> int:
    """So many numbered datagrams, not too fast for anybody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for number in range(int(count)):
            out.sendto(b"%d" % number, (host, DATAGRAMS))
            if number % 20 == 0:
                await asyncio.sleep(0.001)
    return int(count)


async def numbers(host: str) -> list[int]:
    """What has come to the server in this place."""
    reader, writer = await asyncio.open_connection(host, NUMBERS)
    said = json.loads(await reader.read())
    writer.close()
    return list(said)


async def trip(host: str) -> float | None:
    """Seconds there and back; None if nothing comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(0.5)
        began_s = time.perf_counter()
        out.sendto(b"?", (host, DATAGRAMS))
        try:
            out.recv(10)
        except TimeoutError:
            return None
        return time.perf_counter() - began_s


async def echo(host: str, size: str) -> dict[str, float]:
    """So many bytes there and back over TCP: how long, and how many bits came back flipped."""
    reader, writer = await asyncio.open_connection(host, ECHO)
    began_s = time.perf_counter()
    writer.write(bytes(int(size)))
    back = await reader.readexactly(int(size))
    writer.close()
    return {"seconds": time.perf_counter() - began_s, "flipped": int.from_bytes(back, "big").bit_count()}


async def hold(host: str) -> str:
    """How a connection ends over which a byte goes every 50 ms: its error, or "open" after a while."""
    reader, writer = await asyncio.open_connection(host, ECHO)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            try:
                while True:
                    writer.write(b"x")
                    if not await reader.read(1):
                        return "end"
                    await asyncio.sleep(0.05)
            except OSError as error:
                return type(error).__name__
    return "open"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))))
