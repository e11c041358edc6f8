"""The real world of one node or client."""

from pathlib import Path

from cluster.config import ProcessingOptions
from cluster.node import VERSION
from cluster.processing.hosting.workers import Workers
from cluster.processing.surroundings import Processing
from cluster.real.clock import RealClock, real_random
from cluster.real.disk import RealDisk
from cluster.real.hosts import RealHosts
from cluster.real.network import RealNetwork
from cluster.real.stores import RealStores
from cluster.real.tls import NodeTls
from cluster.real.web import RealWeb
from cluster.world import World


def real_world(data_dir: Path, tls: NodeTls | None = None) -> World:
    """Clock, randomness, the data directory, gRPC and HTTP. RefusedToStart if the directory is in use."""
    return World(
        clock=RealClock(),
        random=real_random(),
        disk=RealDisk(data_dir),
        network=RealNetwork(tls),
        web=RealWeb() if tls is None else RealWeb(tls.http_context),
    )


def real_processing(data_dir: Path, options: ProcessingOptions) -> Processing:
    """Processes for user code and files for its state, below the data directory. On the running event loop."""
    workers = Workers(options, version=VERSION)
    hosts = RealHosts(data_dir, options, workers)
    return Processing(hosts=hosts, stores=RealStores(data_dir, options.store), routes=workers.routes())
