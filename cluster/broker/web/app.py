"""The HTTP application of a node: its URLs, and what becomes of a failure.

POST /topics/{topic}/records                publish            (`publishing`)
GET  /topics/{topic}/records                read               (`reading`)
GET  /topics/{topic}/events                 follow             (`events`); also with Accept: text/event-stream
POST /riverrun.v1.{Service}/{Method}        any unary method   (`connect`)
GET  /healthz   /readyz   /metrics          it lives; it takes requests; what it counts (`seen`)
"""

from collections.abc import Collection, Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route as Url
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.broker.web.calls import Handlers, WebCall
from cluster.broker.web.connect import Connect
from cluster.broker.web.content import media_type
from cluster.broker.web.events import TYPE, Events
from cluster.broker.web.failures import Refused, failed
from cluster.broker.web.guard import Guard, host_of
from cluster.broker.web.publishing import Publishing
from cluster.broker.web.reading import Reading
from cluster.broker.web.seen import Looking, Seen
from cluster.config import HttpOptions
from cluster.errors import RiverrunError, Unsupported
from cluster.world import Clock, HttpApp, Route

__all__ = ["host_of", "make_app"]

log_event = structlog.get_logger()


def make_app(
    routes: Mapping[str, Route],
    *,
    options: HttpOptions,
    clock: Clock,
    names: Collection[str],
    seen: Seen,
) -> HttpApp:
    """The application.

    `routes` are what the gRPC listener serves, `names` those by which this listener may be called, and `seen` is what
    the node says of itself.
    """
    return Guard(_App(routes, options, seen), names=names, options=options, wall_ns=clock.wall_ns)


class _App:
    """Finds the URL; a failure of whatever kind becomes a JSON answer, if none has begun."""

    def __init__(self, routes: Mapping[str, Route], options: HttpOptions, seen: Seen) -> None:
        handlers = Handlers(routes)
        self._publishing = Publishing(handlers, options)
        self._reading = Reading(handlers, options)
        self._events = Events(self._reading, options)
        self._connect = Connect(handlers, options)
        looking = Looking(seen)
        self._router = Router(
            [
                Url("/topics/{topic}/records", self._records, methods=["GET", "POST"]),
                Url("/topics/{topic}/events", self._follow, methods=["GET"]),
                Url("/healthz", looking.healthz, methods=["GET"]),
                Url("/readyz", looking.readyz, methods=["GET"]),
                Url("/metrics", looking.metrics, methods=["GET"]),
                Url("/riverrun.v1.{service}/{method}", self._method, methods=["POST"]),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        scope["app"] = self  # so that the router raises what it does not find, instead of answering by itself
        try:
            await self._router(scope, receive, noticed)
        except ClientDisconnect:
            return
        except RiverrunError as error:
            answer: ASGIApp = failed(error)
        except Refused as refused:
            answer = failed(refused.error, status=refused.status, headers=refused.headers)
        except HTTPException as error:
            answer = failed(_unsupported(scope, error), status=error.status_code, headers=error.headers)
        except Exception:
            log_event.exception("http_handler_failed", method=scope["method"], path=scope["path"])
            answer = failed(RiverrunError("the node failed to answer; its log has the details"))
        else:
            return
        if not begun:
            await answer(scope, receive, send)

    async def _records(self, request: Request) -> ASGIApp:
        call = WebCall(_peer(request), headers=request.headers)
        if request.method == "POST":
            return await self._publishing.answer(request, call)
        if TYPE in (media_type(part) for part in request.headers.get("accept", "").split(",")):
            return await self._events.answer(request, call)
        return await self._reading.answer(request, call)

    async def _follow(self, request: Request) -> ASGIApp:
        return await self._events.answer(request, WebCall(_peer(request)))

    async def _method(self, request: Request) -> ASGIApp:
        return await self._connect.answer(request, _peer(request))


def _peer(request: Request) -> str:
    client = request.client
    return "http" if client is None else f"http:{client.host}:{client.port}"


def _unsupported(scope: Scope, error: HTTPException) -> Unsupported:
    if error.status_code == 405:
        return Unsupported(f"{scope['path'][:128]} does not take {scope['method']}")
    return Unsupported(f"there is no {scope['path'][:128]}; there are /topics/TOPIC/records, /topics/TOPIC/events, …")
