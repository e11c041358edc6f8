"""Ports of loopback for a cluster, kept from everybody else as long as they are needed."""

import contextlib
import socket
from collections.abc import Iterator

from cluster.cli.local import HTTP_PORT_STEP, PEER_PORT_STEP

CLAIM = 9
"""Of each ten ports the last is held by whoever uses the others, which are free while a node is down."""


@contextlib.contextmanager
def claimed_ports(nodes: int) -> Iterator[int]:
    """A port whose neighbours are free, for so many nodes with their peer and HTTP listeners."""
    with contextlib.ExitStack() as claims:
        yield next(port for port in range(21171, 30171, 10) if _claim(claims, port, nodes))


def _claim(claims: contextlib.ExitStack, port: int, nodes: int) -> bool:
    with contextlib.ExitStack() as opened:
        try:
            for offset in (0, PEER_PORT_STEP, HTTP_PORT_STEP):
                opened.enter_context(_bound(port + offset + CLAIM))
                for node in range(nodes):
                    _bound(port + offset + node).close()
        except OSError:
            return False
        claims.push(opened.pop_all())
    return True


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    try:
        found.bind(("127.0.0.1", port))
    except OSError:
        found.close()
        raise
    return found
