"""riverrun: an event-streaming cluster in Python. Begin with `cluster/README.md`.

The few names that an application imports; what they need is imported when they are used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.config import ClientOptions
from cluster.errors import RiverrunError
from cluster.metadata import TopicConfig
from cluster.records import Header, Receipt, Record

if TYPE_CHECKING:
    from cluster.client.client import Connecting

__all__ = ["ClientOptions", "Header", "Receipt", "Record", "RiverrunError", "TopicConfig", "connect"]


def connect(servers: str | Sequence[str] = "127.0.0.1:7171", *, options: ClientOptions | None = None) -> "Connecting":
    """A client of the cluster that answers at any of `servers` (`host:port`, several with commas between).

    `async with connect("127.0.0.1:7171") as client: …`, or `client = await connect(…)`. Unavailable if none answers.
    """
    from cluster.client.client import Client, Connecting  # noqa: PLC0415  gRPC is imported when somebody connects
    from cluster.real.clock import RealClock, real_random  # noqa: PLC0415
    from cluster.real.network import RealNetwork  # noqa: PLC0415

    def make() -> Client:
        return Client(servers, network=RealNetwork(), clock=RealClock(), random=real_random(), options=options)

    return Connecting(make)
