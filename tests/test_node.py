"""What a node makes of its data directory before anything else."""

import random

import pytest

from cluster.errors import RefusedToStart
from cluster.node import claim_directory
from cluster.node.identity import IDENTITY_FILE
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import ClusterId, NodeId

OURS, OTHER = ClusterId(b"c" * 16), ClusterId(b"d" * 16)
ONE, TWO = NodeId(1), NodeId(2)


def test_power_loss_at_every_operation_of_the_first_start() -> None:
    """The directory is claimed, or claimed by the next start: a half-made claim is nobody's files."""
    for stop in range(100):
        disk = SimDisk(random.Random(stop))
        disk.crash_at_operation = stop
        crashed = False
        try:
            claim_directory(disk, random.Random(1), OURS, ONE)
        except SimCrash:
            crashed = True
        disk.crash()
        claim_directory(disk, random.Random(1), OURS, ONE)
        with pytest.raises(RefusedToStart, match="another cluster's"):
            claim_directory(disk, random.Random(1), OTHER, ONE)
        if not crashed:
            break
    assert stop > 4, "there were operations to crash at"


def test_a_directory_belongs_to_one_node_of_one_cluster() -> None:
    """Neither another node nor another cluster gets it, and what is somebody else's is not touched."""
    disk = SimDisk(random.Random(1))
    claim_directory(disk, random.Random(1), OURS, ONE)
    claim_directory(disk, random.Random(1), OURS, ONE)
    for cluster, node in ((OURS, TWO), (OTHER, ONE)):
        with pytest.raises(RefusedToStart, match="choose another data_dir"):
            claim_directory(disk, random.Random(1), cluster, node)
    strange = SimDisk(random.Random(2))
    strange.open("photos", create=True).close()
    with pytest.raises(RefusedToStart, match="not riverrun's"):
        claim_directory(strange, random.Random(1), OURS, ONE)
    assert ["photos"] == strange.list(".")


def test_a_flipped_bit_in_the_claim_is_told_in_a_sentence() -> None:
    """Or it makes another directory of it, which the cluster does not take for the one that it knows; or nothing."""
    refused = 0
    for bit in range(1_000):
        disk = SimDisk(random.Random(1))
        claim_directory(disk, random.Random(1), OURS, ONE)
        file = disk.open(IDENTITY_FILE)
        if bit >= 8 * file.size():
            break
        disk.flip(IDENTITY_FILE, bit)
        try:
            assert 8 == len(claim_directory(disk, random.Random(2), OURS, ONE))
        except RefusedToStart:
            refused += 1
    assert refused > bit * 3 / 4
