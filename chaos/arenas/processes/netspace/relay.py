"""From unix sockets, which all of a machine's namespaces share, to the nodes: `python -m …relay {path: [host, port]}`.

A run's clients live in the machine's own namespace, from which no packet gets to the nodes. This process stands in
the clients' namespace: what a client writes into a socket leaves from here through the switch, and is hit there. A
connection that breaks on one side is broken off on the other; one that hangs, hangs. It ends with its input.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys

CHUNK_BYTES = 1 << 16
CONNECT_S_MAX = 20.0
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: an end of the connection is a reset, and nothing of it waits in the kernel."""


async def _relay(targets: dict[str, tuple[str, int]]) -> None:
    servers = [
        await asyncio.start_unix_server(lambda r, w, t=(host, port): _connection(r, w, *t), path)  # type: ignore[misc]
        for path, (host, port) in targets.items()
    ]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await ended.wait()
    for server in servers:
        server.close()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            there, out = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is one
        writer.transport.abort()
        return
    out.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    out.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    pumps = {asyncio.ensure_future(_pump(reader, out)), asyncio.ensure_future(_pump(there, writer))}
    _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for pump in rest:
        pump.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    out.transport.abort()
    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(_relay({path: (host, port) for path, (host, port) in json.loads(sys.argv[1]).items()}))
