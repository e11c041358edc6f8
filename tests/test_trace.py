"""Trace contexts as W3C has them, and what OpenTelemetry's client makes of them in records."""

import pytest
from opentelemetry import trace as api
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from cluster.client.tracing import current_trace, with_trace
from cluster.records import Header
from cluster.trace import is_parent, trace_headers, traced

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (PARENT, True),
        ("01" + PARENT[2:] + "-what-comes-later", True),
        (PARENT + "-more", False),
        ("ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        (PARENT[:-1], False),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", False),
        ("", False),
    ],
)
def test_what_names_a_span(text: str, *, is_one: bool) -> None:
    """Versions to come may say more; zeros are nobody."""
    assert is_one == is_parent(text)


def test_a_state_goes_with_its_parent_only() -> None:
    """And not if it is too long; what is no parent is as if nothing had been said."""
    both = (Header(name="traceparent", value=PARENT.encode()), Header(name="tracestate", value=b"a=1"))
    assert both == trace_headers({"traceparent": PARENT, "tracestate": "a=1", "other": "x"})
    assert both[:1] == trace_headers({"traceparent": PARENT, "tracestate": "a" * 513})
    assert both[:1] == trace_headers({"traceparent": PARENT, "tracestate": "a\n"})
    assert () == trace_headers({"traceparent": "nonsense", "tracestate": "a=1"})
    own = (Header(name="traceparent", value=OTHER.encode()),)
    assert own == traced(own, both)
    assert both == traced((), both)


def test_the_current_span_is_that_of_a_record_that_has_none() -> None:
    """OpenTelemetry's own API, in a span and outside of one."""
    assert () == current_trace() == with_trace(())
    context = SpanContext(
        trace_id=int(PARENT[3:35], 16),
        span_id=int(PARENT[36:52], 16),
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("a", "1")]),
    )
    expected = [Header(name="traceparent", value=PARENT.encode()), Header(name="tracestate", value=b"a=1")]
    with api.use_span(NonRecordingSpan(context)):
        assert expected == list(with_trace(()))
        assert [Header(name="via", value=b"phone"), *expected] == list(with_trace({"via": b"phone"}))
        assert [OTHER.encode()] == [header.value for header in with_trace({"traceparent": OTHER.encode()})]
    assert () == with_trace(())
