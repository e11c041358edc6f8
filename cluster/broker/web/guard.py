"""Who may ask: no page of a foreign origin, no rebound name; and what every answer says about that.

The port has no callers' identities yet, and is meant for loopback; but every web page that its user opens can send
requests to loopback. So:
- `Host` must be an IP address, localhost, or a name of this listener (configured): a foreign name that was rebound to
  this address (DNS rebinding) is refused.
- `Origin`, which browsers send with every request that could change something, must be this port's own or one that
  `origins_allowed` lists; those get the headers that let their pages read the answers (CORS), others are refused.
- What a page may send without asking first (forms, plain text) is accepted by no URL: see `publishing` and `connect`.
"""

import ipaddress
from collections.abc import Callable, Collection
from email.utils import formatdate
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.broker.web.failures import failed
from cluster.config import HttpOptions
from cluster.errors import Forbidden

ANY = "*"
PREFLIGHT_MAX_AGE_S = 600
METHODS = "GET, HEAD, POST, OPTIONS"


class Guard:
    """Lets requests through to `app`, or answers them itself."""

    def __init__(
        self, app: ASGIApp, *, names: Collection[str], options: HttpOptions, wall_ns: Callable[[], int]
    ) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in (*names, *options.hosts_allowed))}
        self._origins = {origin.rstrip("/").lower() for origin in options.origins_allowed}
        self._wall_ns = wall_ns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; other kinds of scope are none of ours."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = ""
        try:
            self._check_host(headers.get("host", ""))
            if origin is not None and not _is_same(origin, headers.get("host", "")):
                self._check_origin(origin)
                allowed = origin
        except Forbidden as error:
            answer: ASGIApp = failed(error)
        else:
            answer = _preflight(headers) if scope["method"] == "OPTIONS" else self._app
        await answer(scope, receive, self._marked(send, allowed))

    def _check_host(self, host: str) -> None:
        name = _name_of(host)
        if name not in self._names and not _is_address(name):
            raise Forbidden(
                f"the host {host[:128]!r} is no name of this node: add it to http_options.hosts_allowed",
                host=host[:128],
            )

    def _check_origin(self, origin: str) -> None:
        if ANY not in self._origins and origin.lower() not in self._origins:
            raise Forbidden(
                f"pages of {origin[:128]!r} may not ask this node: add it to http_options.origins_allowed",
                origin=origin[:128],
            )

    def _marked(self, send: Send, origin: str) -> Send:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                headers["Date"] = formatdate(self._wall_ns() / 1e9, usegmt=True)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.add_vary_header("Origin")
                if origin:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = "Retry-After"
                message["headers"] = headers.raw
            await send(message)

        return marked


def _preflight(headers: Headers) -> Response:
    """What a page of an allowed origin may send: what it asks for, since its origin was what had to be decided."""
    allow = {"Allow": METHODS}
    if "access-control-request-method" in headers:
        allow |= {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
            "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
        }
    return Response(status_code=204, headers=allow)


def host_of(address: str) -> str:
    """The name or IP address of a `host:port`."""
    return _name_of(address)


def _name_of(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether the origin is this port as the request reached it; a proxy in front may have taken TLS off."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and parts.netloc == host.lower()
