"""Spans whose ids and times are known before they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from etl_telemetry import guard
from etl_telemetry.tracing.settings import tracer
from etl_telemetry.values import AttributeValue


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A span that is over: a run's root, which no single process lived through."""

    name: str
    """Name of the span."""
    context: SpanContext
    """Its own ids."""
    parent: SpanContext | None
    """Ids of its parent; None for a root."""
    kind: SpanKind
    """Kind of the span."""
    start_ns: int
    """True start, Unix nanoseconds."""
    end_ns: int
    """True end, Unix nanoseconds."""
    attributes: Mapping[str, AttributeValue]
    """Its attributes; legal values (`values.attributes`)."""
    links: tuple[Link, ...] = ()
    """Spans that it came from."""
    error: str | None = None
    """Description of the error that it ended with; None: it did not."""


def emit(span: FinishedSpan) -> None:
    """Hand a finished span to the tracer provider; never raise.

    Ours takes it with its ids (`emit_finished_span`). From any other it is started
    and ended as an ordinary span with the same times: a child of the ids that it
    should have, so in the right trace. Without a provider nothing happens.

    >>> context = SpanContext(trace_id=1, span_id=1, is_remote=False)
    >>> emit(FinishedSpan("run", context, None, SpanKind.INTERNAL, 0, 1, {}))
    """
    with guard.absorb("emitting a finished span"):
        take = getattr(trace.get_tracer_provider(), "emit_finished_span", None)
        if callable(take):
            take(span)
        else:
            _start_and_end(span)


def emit_child(
    parent: SpanContext,
    name: str,
    *,
    kind: SpanKind,
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, AttributeValue],
) -> bool:
    """Hand over a span that went well and has nothing below it; False: start an ordinary one.

    A fraction of the cost, for what there is a lot of. The attributes must be legal, and
    redacted already; they are kept as they are. Only under a sampled parent of this process.

    >>> context = SpanContext(trace_id=1, span_id=1, is_remote=False)
    >>> emit_child(context, "SELECT", kind=SpanKind.CLIENT, start_ns=0, end_ns=1, attributes={})
    False
    """
    take = getattr(trace.get_tracer_provider(), "emit_child_span", None)
    return take is not None and bool(take(parent, name, kind, (start_ns, end_ns), attributes))


def _start_and_end(span: FinishedSpan) -> None:
    started = tracer().start_span(
        span.name,
        context=trace.set_span_in_context(NonRecordingSpan(span.context)),
        kind=span.kind,
        attributes=span.attributes,
        links=span.links,
        start_time=span.start_ns,
    )
    if span.error is not None:
        started.set_status(Status(StatusCode.ERROR, span.error))
    started.end(span.end_ns)
