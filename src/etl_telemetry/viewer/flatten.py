"""OTLP messages to the rows of the store: pure functions, one pass, nothing kept.

An item that breaks the protocol is left out and counted, so that one bad span never costs the
batch: https://opentelemetry.io/docs/specs/otlp/#partial-success-1
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from etl_telemetry.viewer.records import Attributes, Json

MAX_INTEGER = 2**63 - 1
"""Greatest integer of SQLite; OTLP's unsigned times are cut here (year 2262)."""

TRACE_ID, SPAN_ID = 16, 8
"""Sizes in bytes."""

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_CODES = ("unset", "ok", "error")


class Source(NamedTuple):
    """Who wrote: the resource and the scope, in canonical form."""

    resource: str
    scope_name: str
    scope_version: str
    service: str


class SpanRow(NamedTuple):
    """One row of table `spans`, without its source."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: str
    events: str
    links: str


class LogRow(NamedTuple):
    """One row of table `logs`, without its source."""

    time_ns: int
    observed_ns: int
    severity: int
    severity_text: str
    event_name: str
    body: str
    trace_id: str | None
    span_id: str | None
    attributes: str


class SeriesKey(NamedTuple):
    """What makes a series one series, besides its source."""

    metric: str
    kind: str
    temporality: str
    unit: str
    description: str
    bounds: str
    attributes: str


class PointRow(NamedTuple):
    """One data point; value and exemplars are JSON, value is None when the series has ended."""

    series: SeriesKey
    start_ns: int
    time_ns: int
    value: str | None
    exemplars: str


@dataclass(slots=True)
class Batch:
    """What one request carries, by source."""

    spans: list[tuple[Source, list[SpanRow]]] = field(default_factory=list)
    """Accepted spans."""
    logs: list[tuple[Source, list[LogRow]]] = field(default_factory=list)
    """Accepted log records."""
    points: list[tuple[Source, list[PointRow]]] = field(default_factory=list)
    """Accepted data points."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason -> number of items left out."""


def number(value: float) -> Json:
    """Return `value` as JSON can say it: the three special floats become their OTLP names."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def plain(value: AnyValue) -> Json:
    """Return an OTLP value as JSON data; bytes become base64 text, an empty value None."""
    which = value.WhichOneof("value")
    if which == "string_value":  # First, since most are.
        return value.string_value
    convert = _PLAIN.get(which or "")
    return convert(value) if convert else None


def _bytes(value: AnyValue) -> Json:
    return base64.b64encode(value.bytes_value).decode("ascii")


_PLAIN: dict[str, Callable[[AnyValue], Json]] = {
    "int_value": attrgetter("int_value"),
    "bool_value": attrgetter("bool_value"),
    "double_value": lambda value: number(value.double_value),
    "array_value": lambda value: [plain(item) for item in value.array_value.values],
    "kvlist_value": lambda value: attributes(value.kvlist_value.values),
    "bytes_value": _bytes,
}


def attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """Return attributes as a dict; of a key that occurs twice the last value stays."""
    return {pair.key: plain(pair.value) for pair in pairs}


def dumps(value: object) -> str:
    """Return compact JSON text in the writer's order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def canonical(value: object) -> str:
    """Return compact JSON text that is equal for equal values."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def source(resource: Resource, scope: InstrumentationScope) -> Source:
    """Return the identity of a writer."""
    values = attributes(resource.attributes)
    service = values.get("service.name", "")
    return Source(
        canonical(values),
        scope.name,
        scope.version,
        service if isinstance(service, str) else dumps(service),
    )


def identifier(value: bytes, size: int) -> str | None:
    """Return an id as hex, or None when it has the wrong size or only zeros."""
    return value.hex() if len(value) == size and any(value) else None


def spans(request: ExportTraceServiceRequest) -> Batch:
    """Return the spans of a request as rows."""
    batch = Batch()
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            rows: list[SpanRow] = []
            for span in scope_spans.spans:
                row = _span(span)
                if isinstance(row, str):
                    batch.rejected[row] += 1
                else:
                    rows.append(row)
            if rows:
                batch.spans.append((source(resource_spans.resource, scope_spans.scope), rows))
    return batch


def _span(span: Span) -> SpanRow | str:
    """Return the row of one span, or why it was left out."""
    trace_id = identifier(span.trace_id, TRACE_ID)
    if trace_id is None:
        return "trace_id must be 16 bytes, not all zero"
    span_id = identifier(span.span_id, SPAN_ID)
    if span_id is None:
        return "span_id must be 8 bytes, not all zero"
    parent = span.parent_span_id
    if parent and len(parent) != SPAN_ID:
        return "parent_span_id must be 8 bytes or empty"
    return SpanRow(
        trace_id,
        span_id,
        identifier(parent, SPAN_ID),
        span.name,
        _name(SPAN_KINDS, span.kind),
        min(span.start_time_unix_nano, MAX_INTEGER),
        min(span.end_time_unix_nano, MAX_INTEGER),
        _name(STATUS_CODES, span.status.code),
        span.status.message,
        dumps(attributes(span.attributes)),
        _events(span) if span.events else "[]",
        _links(span) if span.links else "[]",
    )


def _name(names: tuple[str, ...], code: int) -> str:
    """Return the name of an enum's number; proto3 lets unknown numbers through."""
    return names[code] if 0 <= code < len(names) else names[0]


def _events(span: Span) -> str:
    return dumps(
        [
            (e.name, min(e.time_unix_nano, MAX_INTEGER), attributes(e.attributes))
            for e in span.events
        ]
    )


def _links(span: Span) -> str:
    return dumps(
        [(k.trace_id.hex(), k.span_id.hex(), attributes(k.attributes)) for k in span.links]
    )


def logs(request: ExportLogsServiceRequest) -> Batch:
    """Return the log records of a request as rows; none is ever rejected."""
    batch = Batch()
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            rows = [_log(record) for record in scope_logs.log_records]
            if rows:
                batch.logs.append((source(resource_logs.resource, scope_logs.scope), rows))
    return batch


def _log(record: LogRecord) -> LogRow:
    """Return the row of one record; ids that are not valid mean "outside a trace" (logs.proto)."""
    return LogRow(
        min(record.time_unix_nano, MAX_INTEGER),
        min(record.observed_time_unix_nano, MAX_INTEGER),
        record.severity_number,
        record.severity_text,
        record.event_name,
        dumps(plain(record.body)),
        identifier(record.trace_id, TRACE_ID),
        identifier(record.span_id, SPAN_ID),
        dumps(attributes(record.attributes)),
    )
