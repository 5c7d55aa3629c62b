"""Spans, log records and audit events as plain values.

What differs from one test run to the next (ids, times, lines of code) is there to be read, but
takes no part in `==` and is not shown: two values are equal if they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id

from etl_telemetry import catalogue

_NANOSECONDS = 1e9
_OF_THE_PLACE = (
    catalogue.CODE_FILE_PATH,
    catalogue.CODE_FUNCTION_NAME,
    catalogue.CODE_LINE_NUMBER,
    catalogue.EXCEPTION_STACKTRACE,
    "thread.id",
    catalogue.LOG_RECORD_UID,
)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a span, such as an exception."""

    name: str
    """Its name; `exception` for an exception."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Its attributes, without the stack trace."""
    stacktrace: str | None = field(default=None, compare=False, repr=False)
    """Stack trace of an exception."""


@dataclass(frozen=True, slots=True)
class Span:
    """A finished span."""

    name: str
    """Its name."""
    kind: str = "internal"
    """`internal`, `server`, `client`, `producer` or `consumer`."""
    status: str = "unset"
    """`unset`, `ok` or `error`."""
    error: str | None = None
    """Description of the status."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Its attributes, redacted as for the export, without those in `place`."""
    events: tuple[Event, ...] = ()
    """What happened during it."""
    place: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """File, line and function, of a span made by `@traced`."""
    trace_id: str = field(default="", compare=False, repr=False)
    """32 hex digits."""
    span_id: str = field(default="", compare=False, repr=False)
    """16 hex digits."""
    parent_id: str | None = field(default=None, compare=False, repr=False)
    """Span id of its parent."""
    links: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Span ids of what it is linked to."""
    started_at: float = field(default=0.0, compare=False, repr=False)
    """Unix seconds."""
    ended_at: float = field(default=0.0, compare=False, repr=False)
    """Unix seconds."""
    scope: str = field(default="", compare=False, repr=False)
    """Name of the instrumentation that made it."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record."""

    body: object
    """The message."""
    severity: str = "INFO"
    """`DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`."""
    logger: str = ""
    """Name of its logger."""
    event_name: str | None = None
    """Name of the event, where it is one."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Its fields, without those in `place`."""
    place: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """File, line, function, thread and stack trace."""
    trace_id: str | None = field(default=None, compare=False, repr=False)
    """Trace in which it was logged."""
    span_id: str | None = field(default=None, compare=False, repr=False)
    """Span in which it was logged."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An audit event, as given to `audit.record`."""

    event_type: str
    """Its name."""
    resource: Mapping[str, object]
    """What was acted on: `type` and `id`, as text."""
    actor: str = catalogue.UNKNOWN
    """Who did it."""
    organization: str | None = None
    """The tenant."""
    outcome: str = "success"
    """How it ended."""
    details: Mapping[str, object] = field(default_factory=dict)
    """Whatever else was given."""
    trace_id: str | None = field(default=None, compare=False, repr=False)
    """Trace in which it was recorded."""


def span(made: ReadableSpan) -> Span:
    """Return the value of a finished span of the SDK."""
    context = made.context
    attributes, place = _without_place(made.attributes)
    return Span(
        name=made.name,
        kind=made.kind.name.lower(),
        status=made.status.status_code.name.lower(),
        error=made.status.description,
        attributes=attributes,
        events=tuple(_event(event.name, event.attributes) for event in made.events),
        place=place,
        trace_id="" if context is None else format_trace_id(context.trace_id),
        span_id="" if context is None else format_span_id(context.span_id),
        parent_id=None if made.parent is None else format_span_id(made.parent.span_id),
        links=tuple(format_span_id(link.context.span_id) for link in made.links),
        started_at=(made.start_time or 0) / _NANOSECONDS,
        ended_at=(made.end_time or 0) / _NANOSECONDS,
        scope=_scope(made.instrumentation_scope),
    )


def log_record(made: ReadableLogRecord) -> LogRecord:
    """Return the value of a log record of the SDK."""
    record = made.log_record
    fields, place = _without_place(record.attributes)
    return LogRecord(
        body=record.body,
        severity=record.severity_text or "",
        logger=_scope(made.instrumentation_scope),
        event_name=record.event_name,
        attributes=fields,
        place=place,
        trace_id=format_trace_id(record.trace_id) if record.trace_id else None,
        span_id=format_span_id(record.span_id) if record.span_id else None,
    )


def audit_event(record: LogRecord) -> AuditEvent:
    """Return the audit event that a record of the audit logger is."""
    fields: Mapping[str, Any] = record.attributes
    return AuditEvent(
        event_type=str(record.body),
        resource={
            "type": fields.get(catalogue.AUDIT_RESOURCE_TYPE),
            "id": fields.get(catalogue.AUDIT_RESOURCE_ID),
        },
        actor=fields.get(catalogue.AUDIT_ACTOR, catalogue.UNKNOWN),
        organization=fields.get(catalogue.AUDIT_ORGANIZATION),
        outcome=fields.get(catalogue.AUDIT_OUTCOME, catalogue.UNKNOWN),
        details=fields.get(catalogue.AUDIT_DETAILS) or {},
        trace_id=record.trace_id,
    )


def _event(name: str, attributes: Mapping[str, object] | None) -> Event:
    fields, place = _without_place(attributes)
    stacktrace = place.get(catalogue.EXCEPTION_STACKTRACE)
    return Event(name=name, attributes=fields, stacktrace=stacktrace)


def _without_place(
    attributes: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = dict(attributes or {})
    return fields, {key: fields.pop(key) for key in _OF_THE_PLACE if key in fields}


def _scope(scope: Any) -> str:
    return "" if scope is None else str(scope.name)
