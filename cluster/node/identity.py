"""Whose data directory it is: one node's of one cluster, or nobody's."""

from cluster.errors import RefusedToStart
from cluster.types import ClusterId, NodeId
from cluster.world import Disk

VERSION = "0.1.0"
IDENTITY_FILE = "node"


def claim_directory(disk: Disk, cluster: ClusterId, me: NodeId) -> None:
    """Make the data directory this node's, or refuse one that is another's."""
    expected = f"riverrun data 1\ncluster {cluster.hex()}\nnode {me}\n".encode()
    disk.make_directory(".")
    if IDENTITY_FILE in disk.list("."):
        file = disk.open(IDENTITY_FILE)
        found = file.read(0, 4096)
        file.close()
        if found != expected:
            raise RefusedToStart(
                f"the data directory is another cluster's, node's or format's ({found.decode(errors='replace')!r}); "
                f"this is node {me} of cluster {cluster.hex()}: choose another data_dir"
            )
        return
    new = IDENTITY_FILE + ".new"  # may be there already: half-made by a start that the power ended
    if set(disk.list(".")) - {new}:
        raise RefusedToStart("the data directory holds files that are not riverrun's: choose an empty data_dir")
    file = disk.open(new, create=True)
    file.truncate(0)
    file.write(0, [expected])
    file.sync()
    file.close()
    disk.rename(new, IDENTITY_FILE)
    disk.sync_directory(".")
