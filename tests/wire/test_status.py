"""Errors as they travel, and what is left of one that was damaged."""

from cluster.errors import NotLeader, RiverrunError
from cluster.wire.status import error_of, status_of


def test_a_damaged_error_is_an_error_or_none() -> None:
    """Whichever bit is flipped, wherever it ends: what comes with a failed call does not fail whoever made it."""
    whole = status_of(NotLeader("ask node 2", leader="127.0.0.1:7171")).SerializeToString()
    damaged = [whole[:length] for length in range(len(whole))]
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))

    assert isinstance(error_of(whole), NotLeader)
    assert {True} == {isinstance(found, RiverrunError | None) for found in map(error_of, damaged)}
