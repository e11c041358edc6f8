"""What copies come to: the verdict, and when it is good."""

from dataclasses import replace

import pytest

from cluster.client.verifying import CopyState, ReplicaCopy, Verification
from cluster.types import NodeId, Offset, ReplicaId, Term


def copy(node: int, state: str, checksum: int = 1, term: int = 1) -> ReplicaCopy:
    """Of a batch of one record."""
    return ReplicaCopy(
        node=NodeId(node),
        replica=ReplicaId(node),
        state=CopyState(state),
        base_offset=Offset(5),
        record_count=1,
        term=Term(term),
        checksum=checksum,
        detail="",
    )


@pytest.mark.parametrize(
    ("states", "safe", "words"),
    [
        ("held held held", True, "on the disks of 3 of 3"),
        ("held held absent", True, "on the disks of 2 of 3"),
        ("held held unreachable", True, "on the disks of 2 of 3"),
        ("held not_synced not_synced", False, "1 of 3 replicas only; 2 are a majority"),
        ("held held damaged", False, "damaged on node 3; 2 of 3"),
        ("held damaged damaged", False, "damaged on nodes 2 and 3"),
        ("trimmed trimmed trimmed", False, "deleted from all replicas by retention"),
        ("absent absent absent", False, "no replica has offset 5"),
        ("held trimmed absent unreachable unreachable", False, "3 are a majority"),
        ("held", True, "1 of 1"),
        ("held compacted held", True, "removed by compaction on node 2; 2 of 3 replicas hold it"),
        ("compacted compacted compacted", True, "removed by compaction on nodes 1, 2 and 3; 0 of 3"),
        ("compacted absent absent", False, "2 are a majority"),
    ],
)
def test_the_verdict(states: str, safe: object, words: str) -> None:
    """A majority on disk, no copy damaged."""
    found = Verification(
        offset=Offset(5),
        copies=[copy(node, state.replace("_", " ")) for node, state in enumerate(states.split(), 1)],
    )

    assert safe == found.is_safe
    assert words in found.verdict()


def test_what_is_left_of_a_compacted_batch_is_compared_by_its_record() -> None:
    """Its checksum is another one; the record's is the same, or something is wrong."""
    whole = replace(copy(1, "held"), record_checksum=7)
    thin = replace(copy(2, "held", checksum=2), compacted=True, record_checksum=7)
    wrong = replace(thin, record_checksum=8)

    found = Verification(offset=Offset(5), copies=[whole, thin, whole])
    assert found.is_safe
    assert "the record is the same on each" in found.verdict()
    assert not Verification(offset=Offset(5), copies=[whole, wrong, whole]).is_safe


@pytest.mark.parametrize("other", [{"checksum": 2}, {"term": 2}])
@pytest.mark.parametrize("state", ["held", "not synced"])
def test_copies_that_differ(state: str, other: dict[str, int]) -> None:
    """One that is not like the others, on disk or in memory."""
    found = Verification(offset=Offset(5), copies=[copy(1, "held"), copy(2, "held"), copy(3, state, **other)])

    assert not found.is_safe
    assert "not the same on nodes 1, 2 and 3" in found.verdict()
