"""The simulated world of one host."""

import random

from cluster.sim.clock import Host, SimClock, SimLoop
from cluster.sim.disk import SimDisk
from cluster.sim.network import Fabric, SimNetwork
from cluster.world import World


def sim_world(loop: SimLoop, fabric: Fabric, host: Host, disk: SimDisk, *, offset_ns: int = 0) -> World:
    """Clock, chance of its own, its disk, its place in the network."""
    return World(
        clock=SimClock(loop, offset_ns=offset_ns),
        random=random.Random(loop.random.getrandbits(64)),
        disk=disk,
        network=SimNetwork(fabric, host),
    )
