"""What a message to another process carries."""

from __future__ import annotations

import logging

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from etl_telemetry.runtime import propagation

SPAN = NonRecordingSpan(
    SpanContext(0x1234, 0x5678, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
)
TRACEPARENT = "00-00000000000000000000000000001234-0000000000005678-01"


def current() -> Context:
    """Make a context with a span and with personal data in its baggage."""
    return baggage.set_baggage("user", "ada", trace.set_span_in_context(SPAN, Context()))


def test_baggage_stays_at_home_by_default() -> None:
    """An outbound message carries the trace context, and no baggage."""
    headers: dict[str, str] = {}
    propagation.build(["tracecontext", "baggage"]).inject(headers, current())
    assert headers == {"traceparent": TRACEPARENT}


def test_baggage_goes_to_a_named_place() -> None:
    """Where the writer says that the destination is ours, the baggage goes along."""
    headers: dict[str, str] = {}
    propagator = propagation.build(["tracecontext", "baggage"])
    propagator.inject(headers, propagation.to_named_place(current()))
    assert headers == {"traceparent": TRACEPARENT, "baggage": "user=ada"}


def test_baggage_is_read_from_anybody() -> None:
    """What came in is there for the application to use."""
    headers = {"traceparent": TRACEPARENT, "baggage": "user=ada"}
    context = propagation.build(["tracecontext", "baggage"]).extract(headers, Context())
    assert baggage.get_all(context=context) == {"user": "ada"}
    assert trace.get_current_span(context).get_span_context().trace_id == 0x1234


def test_without_baggage_among_the_propagators_none_leaves_at_all() -> None:
    """`OTEL_PROPAGATORS=tracecontext` holds the baggage back from named places too."""
    headers: dict[str, str] = {}
    propagation.build(["tracecontext"]).inject(headers, propagation.to_named_place(current()))
    assert headers == {"traceparent": TRACEPARENT}


def test_none_switches_propagation_off() -> None:
    """`none` anywhere in the list means that nothing is written."""
    headers: dict[str, str] = {}
    propagation.build(["tracecontext", "none"]).inject(headers, current())
    assert headers == {}


def test_an_unknown_propagator_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A name that no installed package knows never stops a process."""
    with caplog.at_level(logging.WARNING, "etl_telemetry"):
        propagator = propagation.build(["tracecontext", "carrier-pigeon"])
    assert propagator.fields == {"traceparent", "tracestate"}
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["propagator"]) == (
        "propagator_not_installed", "carrier-pigeon",
    )  # fmt: skip


def test_install_replaces_the_global_propagator() -> None:
    """Other libraries inject through ours from then on."""
    before = get_global_textmap()
    try:
        propagation.install(["baggage"])
        assert get_global_textmap().fields == {"baggage"}
    finally:
        set_global_textmap(before)
