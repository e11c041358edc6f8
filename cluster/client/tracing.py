"""The trace that an application is in, for the records that it publishes: OpenTelemetry's current span, where it is.

riverrun does not depend on OpenTelemetry, nor import it: whoever is in a span has. A record that brings a `traceparent`
of its own (`headers={"traceparent": b"00-…"}`) keeps it.
"""

import sys
from collections.abc import Mapping
from typing import Any

from cluster.records import Header
from cluster.trace import PARENT, STATE, STATE_LENGTH_MAX
from cluster.wire.encoding import Headers

API = "opentelemetry.trace"


def current_trace() -> tuple[Header, ...]:
    """As a record's headers; none if there is no span, or no OpenTelemetry."""
    api: Any = sys.modules.get(API)
    if api is None:
        return ()
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header()
    found = (Header(name=PARENT, value=parent.encode()),)
    return (*found, Header(name=STATE, value=state.encode())) if 0 < len(state) <= STATE_LENGTH_MAX else found


def with_trace(headers: Headers) -> Headers:
    """The same with the current trace, if there is one and they have none."""
    trace = current_trace()
    if not trace:
        return headers
    if isinstance(headers, Mapping):
        headers = [Header(name=name, value=value) for name, value in headers.items()]
    return headers if any(header.name == PARENT for header in headers) else (*headers, *trace)
