"""Spans only under another span."""

from __future__ import annotations

from opentelemetry import trace

from etl_telemetry.instrumentation.under_parent import UnderParent
from support.telemetry import telemetry


def test_without_a_parent_there_is_no_span_and_nothing_becomes_current() -> None:
    """Polling a broker for ever makes no traces."""
    seen = telemetry()
    tracer = UnderParent().get_tracer("test")
    with tracer.start_as_current_span("BRPOP") as span:
        assert not span.is_recording()
        assert trace.get_current_span() is trace.INVALID_SPAN
    tracer.start_span("BRPOP").end()
    assert seen.spans() == ()


def test_under_a_parent_spans_are_as_ever() -> None:
    """Inside of a request, a task or a run nothing changes."""
    seen = telemetry()
    tracer = UnderParent().get_tracer("test", "1.2", schema_url="https://example.com/1.0")
    with trace.get_tracer("request").start_as_current_span("GET /"):
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as span:
            assert trace.get_current_span() is span
        tracer.start_span("SET", attributes={"db.system.name": "redis"}).end()
    get, set_, request = seen.spans()
    assert [(s.name, s.parent.span_id if s.parent else None) for s in (get, set_)] == [
        ("GET", request.context.span_id),
        ("SET", request.context.span_id),
    ]
    assert get.kind is trace.SpanKind.CLIENT
    assert get.instrumentation_scope is not None
    assert (get.instrumentation_scope.name, get.instrumentation_scope.version) == ("test", "1.2")
    assert dict(set_.attributes or {}) == {"db.system.name": "redis"}


def test_an_error_inside_passes_through() -> None:
    """The application's exception is neither swallowed nor changed, with and without a parent."""
    tracer = UnderParent().get_tracer("test")
    boom = ValueError("boom")
    for parent in (trace.INVALID_SPAN, trace.get_tracer("request").start_span("GET /")):
        caught: list[BaseException] = []
        with trace.use_span(parent, record_exception=False):
            try:
                with tracer.start_as_current_span("GET"):
                    raise boom
            except ValueError as error:
                caught.append(error)
        assert caught == [boom]
