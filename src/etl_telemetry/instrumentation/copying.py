"""Spans of what OpenTelemetry's instrumentors of PostgreSQL drivers leave out: COPY and more.

They see `execute` and `executemany` of ordinary cursors only. A bulk load by COPY, or
a report by a server-side cursor of psycopg 3, would be a hole in the trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind

from etl_telemetry import guard, queries, redaction, tracing
from etl_telemetry.catalogue import (
    DB_NAMESPACE,
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_SYSTEM_NAME,
    SERVER_ADDRESS,
    SERVER_PORT,
    UNKNOWN,
)

TRACED = "_etl_telemetry_traced"
"""Attribute of a cursor class whose statements are spans by this room."""


@contextmanager
def statement_span(cursor: Any, statement: object) -> Iterator[None]:
    """Put a span around a statement, and count it as a query where it goes another way.

    Its text has no literals; the rows of a COPY are never looked at.
    """
    if not is_instrumentation_enabled():
        yield
        return
    word, attributes = UNKNOWN, dict[str, object]()
    with guard.absorb("describing a statement"):
        text = _text(statement, cursor)
        word = queries.operation(text)
        info = cursor.connection.info
        attributes = {
            DB_SYSTEM_NAME: "postgresql",
            DB_OPERATION_NAME: word,
            DB_QUERY_TEXT: redaction.sql(text),
            DB_NAMESPACE: info.dbname,
            SERVER_ADDRESS: info.host,
            SERVER_PORT: info.port,
        }
    with tracing.span(word, attributes=attributes, kind=SpanKind.CLIENT):
        yield


@contextmanager
def copying(cursor: Any, statement: object) -> Iterator[None]:
    """Put a span around a COPY, and count it: Django's hook does not see it."""
    started = perf_counter()
    try:
        with statement_span(cursor, statement):
            yield
    finally:
        with guard.absorb("counting a query"):
            queries.count(_text(statement, cursor), perf_counter() - started)


def _text(statement: object, cursor: Any) -> str:
    if isinstance(statement, bytes):
        return statement.decode("utf-8", "replace")
    as_string = getattr(statement, "as_string", None)
    return str(statement) if as_string is None else str(as_string(cursor))
