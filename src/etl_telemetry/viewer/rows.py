"""Rows of the store to records: the other direction of `flatten`."""

from __future__ import annotations

import json
import sqlite3

from etl_telemetry.viewer import merge
from etl_telemetry.viewer.records import (
    Event,
    Exemplar,
    Link,
    LogRecord,
    Point,
    Scope,
    Series,
    Span,
    TraceSummary,
    Value,
)


def summary(row: sqlite3.Row) -> TraceSummary:
    """Return one line of the list of traces."""
    return TraceSummary(*row)


def span(row: sqlite3.Row) -> Span:
    """Return a span."""
    return Span(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        name=row["name"],
        kind=row["kind"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        status=row["status"],
        status_message=row["status_message"],
        attributes=json.loads(row["attributes"]),
        events=tuple(Event(*event) for event in json.loads(row["events"])),
        links=tuple(Link(*link) for link in json.loads(row["links"])),
        service=row["service"],
        resource=json.loads(row["resource"]),
        scope=_scope(row),
        received=row["received"],
    )


def log(row: sqlite3.Row) -> LogRecord:
    """Return a log record."""
    return LogRecord(
        time_ns=row["time_ns"],
        observed_ns=row["observed_ns"],
        severity=row["severity"],
        severity_text=row["severity_text"],
        event_name=row["event_name"],
        body=json.loads(row["body"]),
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        attributes=json.loads(row["attributes"]),
        service=row["service"],
        resource=json.loads(row["resource"]),
        scope=_scope(row),
    )


def series(row: sqlite3.Row, points: list[sqlite3.Row]) -> Series:
    """Return a series with its history."""
    return Series(
        metric=row["metric"],
        kind=row["kind"],
        temporality=row["temporality"],
        attributes=json.loads(row["attributes"]),
        resource=json.loads(row["resource"]),
        scope=_scope(row),
        points=tuple(_point(row, point) for point in points),
    )


def value(series_row: sqlite3.Row, text: str | None) -> Value | None:
    """Return a value of a series; None when it has ended."""
    if text is None:
        return None
    return merge.parse(series_row["kind"], json.loads(series_row["bounds"]), text)


def _point(series_row: sqlite3.Row, row: sqlite3.Row) -> Point:
    return Point(
        start_ns=row["start_ns"],
        time_ns=row["time_ns"],
        value=value(series_row, row["value"]),
        exemplars=tuple(
            Exemplar(merge.real(measured), *rest)
            for measured, *rest in json.loads(row["exemplars"])
        ),
    )


def _scope(row: sqlite3.Row) -> Scope:
    return Scope(row["scope_name"], row["scope_version"])
