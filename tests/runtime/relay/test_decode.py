"""Spans that went through a relay are those that were handed over."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.trace import Link, SpanContext, TraceFlags, TraceState

from etl_telemetry.runtime.relay import decode
from etl_telemetry.runtime.relay.decode import RelayedSpan

LINKED = SpanContext(
    7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "x")])
)


@pytest.fixture
def span() -> ReadableSpan:
    """Make a span that ran into its limits."""
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1)
    tracer = TracerProvider(span_limits=limits, shutdown_on_exit=False).get_tracer("test")
    links = [Link(LINKED), Link(LINKED)]
    made: Any = tracer.start_span("work", attributes={"a": 1, "b": 2, "c": 3}, links=links)
    for _ in range(4):
        made.add_event("happened")
    made.end()
    found: ReadableSpan = made._readable_span()
    return found


def relayed(span: ReadableSpan) -> RelayedSpan:
    """Return a span after its way over the socket."""
    (found,) = decode.spans(encode_spans([span]).SerializeToString(), span.resource)
    return found


def told(span: ReadableSpan) -> object:
    """Return what a receiver is told of a span."""
    return encode_spans([span])


def test_what_limits_dropped_is_told(span: ReadableSpan) -> None:
    """In the process that exports nothing of it is known but what was handed over."""
    found = relayed(span)
    dropped = (found.dropped_attributes, found.dropped_events, found.dropped_links)
    assert dropped == (2, 3, 1)
    assert told(found) == told(span)


def test_a_span_that_is_closed_for_its_process_keeps_that(span: ReadableSpan) -> None:
    """A child that was killed cannot tell the counts again."""
    lost = decode.closed(relayed(span), attributes={"c": 3}, error="killed", end_ns=5)
    assert lost.status.description == "killed"
    lost._status = span.status
    assert told(lost) == told(span)


def test_the_trace_state_of_links_is_read(span: ReadableSpan) -> None:
    """The SDK does not write it (1.45.1); who does is understood."""
    request = encode_spans([span])
    request.resource_spans[0].scope_spans[0].spans[0].links[0].trace_state = "vendor=x"
    (found,) = decode.spans(request.SerializeToString(), span.resource)
    assert [link.context for link in found.links] == [LINKED]
