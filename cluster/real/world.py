"""The real world of one node or client."""

from pathlib import Path

from cluster.real.clock import RealClock, real_random
from cluster.real.disk import RealDisk
from cluster.real.network import RealNetwork
from cluster.real.web import RealWeb
from cluster.world import World


def real_world(data_dir: Path) -> World:
    """Clock, randomness, the data directory, gRPC and HTTP. RefusedToStart if the directory is in use."""
    return World(
        clock=RealClock(),
        random=real_random(),
        disk=RealDisk(data_dir),
        network=RealNetwork(),
        web=RealWeb(),
    )
