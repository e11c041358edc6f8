"""A request's body: no more of it than allowed, and within its time."""

import asyncio

from starlette.requests import Request

from cluster.broker.web.failures import Refused
from cluster.config import HttpOptions
from cluster.errors import DeadlineExceeded, InvalidRequest, RecordTooLarge

CLOSE = {"Connection": "close"}
"""What is left of a body that is not wanted is not read: the connection is of no more use."""


async def read_body(request: Request, options: HttpOptions) -> bytes:
    """All of the body; 413 (RECORD_TOO_LARGE) beyond the limit without reading on, 408 if it does not come in time."""
    said = request.headers.get("content-length", "0")
    if len(said) > len(str(options.body_bytes_max)) or int(said) > options.body_bytes_max:
        raise _too_large(options)
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise Refused(
            InvalidRequest(f"bodies are taken as they are, not with the content encoding {coding!r}"),
            status=415,
            headers={"Accept-Encoding": "identity"},
        )
    body = bytearray()
    try:
        async with asyncio.timeout(options.body_wait_s_max):
            async for chunk in request.stream():
                body += chunk
                if len(body) > options.body_bytes_max:
                    raise _too_large(options)
    except TimeoutError:
        late = DeadlineExceeded(f"the body did not come within {options.body_wait_s_max:.0f} s; nothing was done")
        raise Refused(late, status=408, headers=CLOSE) from None
    return bytes(body)


def _too_large(options: HttpOptions) -> Refused:
    limit = options.body_bytes_max
    error = RecordTooLarge(f"a body may have {limit} bytes", limit_bytes=str(limit))
    return Refused(error, status=413, headers=CLOSE)
