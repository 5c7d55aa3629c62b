"""OTLP back into the objects of the SDK, so that every kind of exporter takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KIND = {0: SpanKind.INTERNAL, **{kind.value + 1: kind for kind in SpanKind}}


@lru_cache(maxsize=256)
def resource(encoded: bytes) -> Resource:
    """Return the resource of a process."""
    for found in ExportMetricsServiceRequest.FromString(encoded).resource_metrics:
        return Resource(attributes(found.resource.attributes), found.schema_url)
    return Resource({})


def spans(encoded: bytes, of: Resource) -> Iterator[RelayedSpan]:
    """Return finished spans, each with the resource of the process that made it."""
    for part in ExportTraceServiceRequest.FromString(encoded).resource_spans:
        for scope_spans in part.scope_spans:
            made_by = scope(scope_spans.scope, scope_spans.schema_url)
            for span in scope_spans.spans:
                yield _relayed(span, of, made_by)


def records(encoded: bytes, of: Resource) -> Iterator[ReadableLogRecord]:
    """Return log records, each with the resource of the process that made it."""
    for part in ExportLogsServiceRequest.FromString(encoded).resource_logs:
        for scope_logs in part.scope_logs:
            made_by = scope(scope_logs.scope, scope_logs.schema_url)
            for record in scope_logs.log_records:
                yield ReadableLogRecord(
                    log_record=_record(record), resource=of, instrumentation_scope=made_by
                )


class RelayedSpan(ReadableSpan):
    """A span of another process, with the counts of what was dropped there."""

    def __init__(self, *, dropped: tuple[int, int, int], **facts: Any) -> None:
        """Take how many attributes, events and links were `dropped`, and a span's other facts."""
        super().__init__(**facts)
        self.dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits dropped."""
        return self.dropped[0]

    @property
    def dropped_events(self) -> int:
        """Events that the SDK's limits dropped."""
        return self.dropped[1]

    @property
    def dropped_links(self) -> int:
        """Links that the SDK's limits dropped."""
        return self.dropped[2]


def closed(
    span: RelayedSpan, *, attributes: Mapping[str, Any], error: str, end_ns: int
) -> ReadableSpan:
    """Return a span that ended with an error, where its own process could not tell.

    `end_ns` counts where it has no end yet.
    """
    return RelayedSpan(
        dropped=span.dropped,
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **attributes},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=Status(StatusCode.ERROR, error),
        start_time=span.start_time,
        end_time=span.end_time or end_ns,
        instrumentation_scope=span.instrumentation_scope,
    )


def _relayed(span: Any, of: Resource, made_by: InstrumentationScope | None) -> RelayedSpan:
    trace_id = int.from_bytes(span.trace_id, "big")
    parent_id = int.from_bytes(span.parent_span_id, "big")
    return RelayedSpan(
        dropped=(
            span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count
        ),
        name=span.name,
        context=SpanContext(
            trace_id,
            int.from_bytes(span.span_id, "big"),
            is_remote=False,
            trace_flags=_SAMPLED,
            trace_state=TraceState.from_header([span.trace_state]),
        ),
        parent=SpanContext(trace_id, parent_id, is_remote=_is_remote(span.flags))
        if parent_id
        else None,
        resource=of,
        attributes=attributes(span.attributes),
        events=[_event(event) for event in span.events],
        links=[_link(link) for link in span.links],
        kind=_KIND[span.kind],
        status=_status(span.status),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=made_by,
    )  # fmt: skip


def scope(encoded: Any, schema_url: str) -> InstrumentationScope | None:
    """Return what made a span, a record or a metric; None where it was not told."""
    if not encoded.name and not encoded.attributes:
        return None
    return InstrumentationScope(
        encoded.name, encoded.version or None, schema_url or None, attributes(encoded.attributes)
    )


def attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return attributes."""
    return {pair.key: value(pair.value) for pair in pairs}


def value(encoded: Any) -> Any:
    """Return a value of any type that OTLP has."""
    which = encoded.WhichOneof("value")
    if which is None:
        return None
    found = getattr(encoded, which)
    if which == "array_value":
        return tuple(value(item) for item in found.values)
    if which == "kvlist_value":
        return attributes(found.values)
    return found


def _record(record: Any) -> LogRecord:
    context = Context()
    if record.trace_id:
        span = SpanContext(
            int.from_bytes(record.trace_id, "big"),
            int.from_bytes(record.span_id, "big"),
            is_remote=False,
            trace_flags=TraceFlags(record.flags & 0xFF),
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(span), context)
    return LogRecord(
        timestamp=record.time_unix_nano or None,
        observed_timestamp=record.observed_time_unix_nano,
        context=context,
        severity_text=record.severity_text or None,
        severity_number=SeverityNumber(record.severity_number) if record.severity_number else None,
        body=value(record.body),
        attributes=attributes(record.attributes),
        event_name=record.event_name or None,
    )


def _event(event: Any) -> Event:
    return Event(event.name, attributes(event.attributes), event.time_unix_nano)


def _link(link: Any) -> Link:
    return Link(
        SpanContext(
            int.from_bytes(link.trace_id, "big"),
            int.from_bytes(link.span_id, "big"),
            is_remote=_is_remote(link.flags),
            trace_flags=_SAMPLED,
            trace_state=TraceState.from_header([link.trace_state]),
        ),
        attributes(link.attributes),
    )


def _status(status: Any) -> Status:
    code = StatusCode(status.code)
    return Status(code, (status.message or None) if code is StatusCode.ERROR else None)


def _is_remote(flags: int) -> bool:
    return bool(flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
