"""The controller's state as bytes. Pure.

What later versions added has defaults, so that a state which an earlier one wrote still opens.
"""

import msgspec

from cluster.controller.commands import Answer
from cluster.metadata import App, Node, QuorumConfiguration, Recovery, Topic

FORMAT = 1


class Plain(msgspec.Struct, kw_only=True):
    """What of the state does not follow from the rest."""

    version: int
    nodes: list[Node]
    topics: list[Topic]
    deleted: list[bytes]
    producers: dict[str, tuple[int, int]]
    next_replica: int
    next_producer: int
    answers: list[tuple[bytes, int, Answer]]
    apps: list[App] = []
    next_node: int = 1
    gone_nodes: list[int] = []
    applied: int = 0
    quorum: QuorumConfiguration = QuorumConfiguration(number=1)
    recoveries: list[Recovery] = []


def encode_state(plain: Plain) -> bytes:
    """Bytes to keep."""
    return bytes(msgspec.msgpack.encode((FORMAT, plain)))


def decode_state(data: bytes) -> Plain:
    """The inverse."""
    version, plain = msgspec.msgpack.decode(data, type=tuple[int, Plain])
    assert version == FORMAT, f"a state of format {version}"
    return plain
