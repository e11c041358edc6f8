"""Whether a node answers for its cluster, asked from outside."""

from collections.abc import Iterable

from cluster.client.client import Client
from cluster.errors import RiverrunError
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork
from cluster.world import Network

ASK_S_MAX = 2.0


async def why_not_ready(address: str, nodes: Iterable[int], network: Network | None = None) -> str:
    """What keeps the node at this address from taking all of these to be alive; "": nothing."""
    client = Client(address, network=network or RealNetwork(), clock=RealClock(), random=real_random())
    try:
        view = await client.cluster_status(timeout_s=ASK_S_MAX)
    except (RiverrunError, TimeoutError) as error:
        return str(error)
    finally:
        await client.abandon()
    missing = set(nodes) - {int(item.node) for item in view.nodes if item.alive}
    if view.controller is None:
        return "it knows of no controller"
    return f"it takes {sorted(missing)} not to be alive" if missing else ""
