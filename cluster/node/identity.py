"""Whose data directory it is: one node's of one cluster, or nobody's.

A directory has an identity of its own, minted with it. The cluster knows a node by both, so a node that comes back with
an empty disk is not taken for the one that has voted and stored.
"""

from dataclasses import dataclass

from cluster.errors import RefusedToStart
from cluster.types import ClusterId, NodeId
from cluster.world import Disk, Random

VERSION = "0.1.0"
IDENTITY_FILE = "node"
DIRECTORY_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose directory it is; `directory`: its own identity, empty in one of an earlier version."""

    cluster: ClusterId
    node: NodeId
    directory: bytes


def read_identity(disk: Disk) -> Identity | None:
    """Of a directory that is there; None if it is nobody's, or of another format."""
    if IDENTITY_FILE not in disk.list("."):
        return None
    file = disk.open(IDENTITY_FILE)
    found = file.read(0, 4096)
    file.close()
    head, *lines = found.decode(errors="replace").splitlines()
    said = dict(line.partition(" ")[::2] for line in lines)
    try:
        return (
            Identity(
                cluster=ClusterId(bytes.fromhex(said["cluster"])),
                node=NodeId(int(said["node"])),
                directory=bytes.fromhex(said.get("directory", "")),
            )
            if head == "riverrun data 1"
            else None
        )
    except (KeyError, ValueError):
        return None


def claim_directory(disk: Disk, random: Random, cluster: ClusterId, me: NodeId) -> bytes:
    """Make the data directory this node's, or refuse one that is another's; the directory's own identity."""
    expected = f"riverrun data 1\ncluster {cluster.hex()}\nnode {me}\n".encode()
    disk.make_directory(".")
    new = IDENTITY_FILE + ".new"  # may be there already: half-made by a start that the power ended
    if IDENTITY_FILE in disk.list("."):
        file = disk.open(IDENTITY_FILE)
        found = file.read(0, 4096)
        file.close()
        own, _, directory = found.partition(b"directory ")
        if own != expected:
            raise RefusedToStart(
                f"the data directory is another cluster's, node's or format's ({found.decode(errors='replace')!r}); "
                f"this is node {me} of cluster {cluster.hex()}: choose another data_dir"
            )
        if directory:  # one of an earlier version has none yet
            return _identity_in(directory)
    elif set(disk.list(".")) - {new}:
        raise RefusedToStart("the data directory holds files that are not riverrun's: choose an empty data_dir")
    identity = random.randbytes(DIRECTORY_BYTES)
    file = disk.open(new, create=True)
    file.truncate(0)
    file.write(0, [expected + b"directory " + identity.hex().encode() + b"\n"])
    file.sync()
    file.close()
    disk.rename(new, IDENTITY_FILE)
    disk.sync_directory(".")
    return identity


def _identity_in(said: bytes) -> bytes:
    try:
        identity = bytes.fromhex(said.decode())
    except ValueError:
        identity = b""
    if len(identity) != DIRECTORY_BYTES:
        raise RefusedToStart(
            f"the file {IDENTITY_FILE} in the data directory is damaged: it says {said!r} where the directory's own "
            f"identity was. Put it back, or replace this node (riverrun cluster replace)"
        )
    return identity
