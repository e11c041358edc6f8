"""Ports of loopback for one run's proxies: neighbours, below those that the machine gives to whoever connects.

A proxy that refuses connections does not listen, so that its port is anybody's meanwhile; and a new server has to
listen where the last one did. So nobody may get these ports by chance, and no other run may choose them: the first one
of each block is held as long as the block is somebody's.
"""

import itertools
import socket
from collections.abc import Iterator

BLOCK = 64
PLACES = range(30400, 32700, BLOCK)
"""Clusters' own ports end below it, the machine's begin above it (ip_local_port_range)."""


class PortBlock:
    """A block of ports, held until `close`. RuntimeError if there is none."""

    def __init__(self) -> None:
        self._claim, first = _claim()
        self._free: Iterator[int] = itertools.chain(range(first + 1, first + BLOCK))

    def take(self) -> int:
        """The next one; RuntimeError if all are taken."""
        port = next(self._free, None)
        if port is None:
            raise RuntimeError(f"a run has {BLOCK - 1} ports for its proxies, and needs more")
        return port

    def close(self) -> None:
        """Others may have them."""
        self._claim.close()


def _claim() -> tuple[socket.socket, int]:
    for first in PLACES:
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
            for port in range(first + 1, first + BLOCK):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        return claim, first
    raise RuntimeError(f"there is no block of {BLOCK} free ports in {PLACES}")
