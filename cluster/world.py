"""The seams between riverrun and everything outside: clock, randomness, disk, network; and, beside it, HTTP.

Nothing else may touch time, chance, files or sockets. `cluster/real` and `cluster/sim` implement these Protocols
under the same file names, and one set of contract tests runs against both.

Waiting is asyncio's own: `asyncio.sleep`, `asyncio.timeout` and timers run on the world's event loop, which in the
simulator has virtual time. So the clock here only *tells* time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from cluster.config import HttpOptions

T = TypeVar("T")
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
"""The most that one message of a Network may hold: more is refused with InvalidRequest before anything is sent."""


class Clock(Protocol):
    """Two clocks that must not be mixed."""

    def monotonic_s(self) -> float:
        """Seconds since some start; never goes back. For durations and time-outs."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970; may jump. For timestamps that people and other machines read."""


class Random(Protocol):
    """The one source of chance of a node; seeded in the simulator. Not for secrets."""

    def random(self) -> float:
        """A float in [0, 1)."""

    def randint(self, a: int, b: int) -> int:
        """An int in [a, b]."""

    def randbytes(self, n: int) -> bytes:
        """`n` bytes: ids are made of these."""


class File(Protocol):
    """An open file. All calls block: they run on the writer's thread, except `read`."""

    path: str

    def write(self, position: int, buffers: Sequence[bytes]) -> int:
        """Write the buffers one after another from `position`; the count of bytes, always all. OSError as usual."""

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`; fewer only at the end of the file."""

    def size(self) -> int:
        """The file's length in bytes, un-synced writes included."""

    def truncate(self, size: int) -> None:
        """Cut the file; durable after the next sync."""

    def allocate(self, size: int) -> None:
        """Reserve disk space up to `size` bytes, so that later writes below it cannot meet a full disk."""

    def sync(self) -> None:
        """Make content and length durable (fdatasync). A failure is final: the caller ends the process."""

    def close(self) -> None:
        """Close; un-synced writes stay un-synced. Whatever is asked of it then is an OSError; closing again is not."""


class Disk(Protocol):
    """A directory tree of this node. Paths are relative, with `/`. OSError (FileNotFoundError, …) as the OS does.

    Durability is explicit: a file's bytes after `sync`, its name (create, rename, remove) after `sync_directory` of
    its directory. Nothing else may be believed after a power loss.
    """

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; `create` makes an absent file (its name durable after sync_directory)."""

    def list(self, directory: str) -> list[str]:
        """The names in a directory, sorted; empty if it does not exist."""

    def make_directory(self, path: str) -> None:
        """Create with parents; no error if it exists. Durable after `sync_directory` of each parent."""

    def rename(self, source: str, target: str) -> None:
        """Replace `target` atomically; durable after `sync_directory`."""

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all it holds."""

    def sync_directory(self, path: str) -> None:
        """Make the names in `path` durable."""

    def sync_files(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """Make many files' bytes, and the names in many directories, durable at once.

        In the cheapest way there is: each alone, or the whole file system.
        """

    def free_bytes(self) -> int:
        """Room left for data."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking disk work off the event loop, one at a time per node, in the order asked."""


class Call(Protocol):
    """The server's side of one request."""

    def peer(self) -> str:
        """Who calls, for logs."""

    def time_left_s(self) -> float | None:
        """Until the caller's deadline; None without one."""

    def metadata(self) -> Mapping[str, str]:
        """What the caller sent along."""

    def certified(self) -> frozenset[str] | None:
        """The URIs that the caller's certificate names it by, if it has one; None where nodes have no certificates.

        A node's are told only where nodes talk to each other.
        """


Unary = Callable[[bytes, Call], Awaitable[bytes]]
"""A handler of one request and one answer, both encoded messages. Raises RiverrunError for typed failures."""
Streaming = Callable[[AsyncIterator[bytes], Call], AsyncIterator[bytes]]
"""A handler of a stream each way; single-request methods read one message from the iterator.

The iterator ends when the client has finished, never because the stream broke: then the handler is cancelled.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """One method that a listener serves. Exactly one of the two handlers is set."""

    unary: Unary | None = None
    streaming: Streaming | None = None


class Stream(Protocol):
    """The client's side of a stream each way. Messages arrive in order, at most once, or the stream breaks."""

    async def send(self, message: bytes) -> None:
        """Hand over one message; waits while the peer is not reading (flow control). Unavailable if it has ended.

        Why it ended is `receive`'s to say. A cancelled `send` or `receive` drops the stream.
        """

    async def receive(self) -> bytes | None:
        """The next message; None at the end. RiverrunError if the stream broke or the peer refused; again if asked."""

    async def finish(self) -> None:
        """Say that nothing more will be sent."""

    def cancel(self) -> None:
        """Drop the stream at once, both ways."""


class Channel(Protocol):
    """A connection to one address, made when first used and again after a loss."""

    async def call(
        self, method: str, request: bytes, *, timeout_s: float, metadata: Mapping[str, str] | None = None
    ) -> bytes:
        """One request, one answer.

        Errors: the peer's RiverrunError, Unavailable (nothing was sent), OutcomeUnknown (it may have been),
        DeadlineExceeded, InvalidRequest (too large a message), Closed (this channel was).
        """

    def stream(self, method: str, *, metadata: Mapping[str, str] | None = None) -> Stream:
        """Open a stream each way; no I/O happens before its first use. Closed if this channel was."""

    async def close(self) -> None:
        """Drop the connection and what is under way on it."""


class Listener(Protocol):
    """A bound address that answers requests."""

    address: str
    """`host:port` as bound; the port is the real one if 0 was asked for."""

    async def close(self, grace_s: float) -> None:
        """Refuse new requests, let running ones end for up to `grace_s` seconds, then cut them."""


class Network(Protocol):
    """gRPC's shape without gRPC: methods are full names such as `/riverrun.v1.StreamService/Publish`."""

    async def listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> Listener:
        """Serve `routes` at `host:port`. `public` adds health and reflection. RefusedToStart if the port is taken."""

    def channel(self, address: str) -> Channel:
        """A channel to `host:port`; no I/O happens before its first use."""


HttpMessage = MutableMapping[str, Any]
HttpApp = Callable[
    [HttpMessage, Callable[[], Awaitable[HttpMessage]], Callable[[HttpMessage], Awaitable[None]]], Awaitable[None]
]
"""An application after the ASGI specification, version 3: scope, receive, send. HTTP only, without lifespan.

`scope["state"]["closing"]` is an asyncio.Event: set when the listener closes, so that what has no end ends by itself.
"""


class Web(Protocol):
    """Where HTTP is served, if it is."""

    async def serve(self, app: HttpApp, address: str, options: HttpOptions) -> Listener:
        """Serve `app` at `host:port` on the running loop. RefusedToStart if the port is taken."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything a node is handed at its start."""

    clock: Clock
    random: Random
    disk: Disk
    network: Network
    web: Web | None = None
    """The simulator has none: there, the application is called without a network."""
