"""W3C trace context: the two headers with which a trace goes on through records, and what is one. Pure.

A record's headers `traceparent` and `tracestate` are those of HTTP. Whoever publishes sets them; where a request came
with its own and its records have none, its node adds them. Readers get them as headers; processors pass them on.

Source: https://www.w3.org/TR/trace-context/ (level 1, and what it says about versions to come).
"""

import re
from collections.abc import Mapping, Sequence

from cluster.records import Header

PARENT, STATE = "traceparent", "tracestate"
STATE_LENGTH_MAX = 512
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_STATE = re.compile(r"[\x20-\x7e\t]*", re.ASCII)


def is_parent(text: str) -> bool:
    """Whether it names a span.

    >>> is_parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    True
    >>> is_parent("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
    False
    """
    found = _PARENT.fullmatch(text)
    if found is None or len(text) > STATE_LENGTH_MAX:
        return False
    version, trace, span, more = found.groups()
    return version != "ff" and (version != "00" or more is None) and bool(trace.strip("0")) and bool(span.strip("0"))


def trace_headers(given: Mapping[str, str]) -> tuple[Header, ...]:
    """The record's headers for what came along under these names; none if there is no trace, or what came is none.

    A state without a parent is nothing, and one that is too long is left out, as the specification says.
    """
    parent = given.get(PARENT, "")
    if not parent or not is_parent(parent):
        return ()
    headers: tuple[Header, ...] = (Header(name=PARENT, value=parent.encode()),)
    state = given.get(STATE, "")
    if state and len(state) <= STATE_LENGTH_MAX and _STATE.fullmatch(state):
        headers += (Header(name=STATE, value=state.encode()),)
    return headers


def traced(headers: Sequence[Header], trace: Sequence[Header]) -> Sequence[Header]:
    """A record's headers with that trace, unless they have one."""
    if not trace or any(header.name == PARENT for header in headers):
        return headers
    return (*headers, *trace)
