"""`GET /healthz`, `/readyz`, `/metrics`: for supervisors, load balancers and scrapers."""

from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cluster.broker.web.failures import failed
from cluster.errors import Unavailable


class Seen(Protocol):
    """What a node says of itself."""

    def hangs(self) -> str:
        """What does not move; empty: it is alive."""

    def waiting_for(self) -> str:
        """What keeps it from being ready; empty: nothing."""

    def degraded(self) -> list[str]:
        """What it cannot do though it is ready."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Content type and page."""


class Looking:
    """Answers the three. What is not well is 503, and says why."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def healthz(self, request: Request) -> Response:
        """Whether it is alive: whoever starts nodes may restart it if it is not."""
        del request
        hangs = self._seen.hangs()
        if hangs:
            return failed(Unavailable(f"this node hangs: {hangs}", hangs=hangs))
        return JSONResponse({"alive": True})

    async def readyz(self, request: Request) -> Response:
        """Whether it takes requests, and what does not work nevertheless."""
        del request
        waiting_for = self._seen.waiting_for()
        if waiting_for:
            return failed(Unavailable(f"this node waits for {waiting_for}", waiting_for=waiting_for))
        degraded = self._seen.degraded()
        return JSONResponse({"ready": True, "degraded": degraded} if degraded else {"ready": True})

    async def metrics(self, request: Request) -> Response:
        """In the format that the scraper would have."""
        content_type, page = self._seen.metrics(request.headers.get("accept", ""))
        return Response(page, 200, {"Content-Type": content_type})
