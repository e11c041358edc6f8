"""riverrun: an event-streaming cluster in Python. Begin with `cluster/README.md`.

The few names that an application imports; what they need is imported when they are used.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cluster.config import ClientOptions, TlsOptions
from cluster.errors import RiverrunError
from cluster.metadata import TopicConfig
from cluster.records import Header, Receipt, Record

if TYPE_CHECKING:
    from cluster.client.blocking import BlockingClient
    from cluster.client.client import Client, Connecting
    from cluster.processing.app import App
    from cluster.processing.context import Ctx
    from cluster.processing.event import Event, Tombstone
    from cluster.processing.handles import MapState, State, Table
    from cluster.processing.policies import dead_letter, skip, stop
    from cluster.processing.processor import ALL
    from cluster.processing.windows import Window

__all__ = [
    "ALL",
    "App",
    "ClientOptions",
    "Ctx",
    "Event",
    "Header",
    "MapState",
    "Receipt",
    "Record",
    "RiverrunError",
    "State",
    "Table",
    "TlsOptions",
    "Tombstone",
    "TopicConfig",
    "Window",
    "connect",
    "connect_blocking",
    "dead_letter",
    "skip",
    "stop",
]
_APPS = {
    "ALL": "processor",
    "App": "app",
    "Ctx": "context",
    "Event": "event",
    "MapState": "handles",
    "State": "handles",
    "Table": "handles",
    "Tombstone": "event",
    "Window": "windows",
    "dead_letter": "policies",
    "skip": "policies",
    "stop": "policies",
}
"""What apps are written with, and the module in `cluster.processing` that it is imported from when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _APPS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.processing.{_APPS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def connect(
    servers: str | Sequence[str] = "127.0.0.1:7171",
    *,
    options: ClientOptions | None = None,
    tls: TlsOptions | None = None,
) -> "Connecting":
    """A client of the cluster that answers at any of `servers` (`host:port`, several with commas between).

    `async with connect("127.0.0.1:7171") as client: …`, or `client = await connect(…)`. Unavailable if none answers;
    Untrusted if TLS is what it fails at. `tls`: which certificates to trust, and to show; without it, what
    RIVERRUN_TLS_CA, RIVERRUN_TLS_CERT and RIVERRUN_TLS_KEY say; without these, plain text.
    """
    from cluster.client.client import Connecting  # noqa: PLC0415  gRPC is imported when somebody connects

    return Connecting(_real_client(servers, options, tls))


def connect_blocking(
    servers: str | Sequence[str] = "127.0.0.1:7171",
    *,
    options: ClientOptions | None = None,
    tls: TlsOptions | None = None,
) -> "BlockingClient":
    """The same client for scripts and threads: each call waits for its answer.

    `with connect_blocking("127.0.0.1:7171") as client: client.publish("orders", b"three apples")`. Unavailable if none
    of the servers answers; InvalidRequest inside a running event loop. `tls`: as for `connect`.
    """
    from cluster.client.blocking import BlockingClient  # noqa: PLC0415

    return BlockingClient(_real_client(servers, options, tls))


def _real_client(
    servers: str | Sequence[str], options: ClientOptions | None, tls: TlsOptions | None
) -> "Callable[[], Client]":
    from cluster.client.client import Client  # noqa: PLC0415
    from cluster.real.clock import RealClock, real_random  # noqa: PLC0415
    from cluster.real.network import RealNetwork  # noqa: PLC0415
    from cluster.real.tls import client_tls  # noqa: PLC0415

    network = RealNetwork(client_tls(tls))
    return lambda: Client(servers, network=network, clock=RealClock(), random=real_random(), options=options)
