"""See every statement that Django sends, by the hook that it has for that.

An execute wrapper works with DEBUG off, for every alias, in every thread and under
asyncio, and asks the database nothing. Where an instrumentor of the driver makes
the span of the statement, we make none.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from time import perf_counter
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind

from etl_telemetry import guard, metrics, queries, redaction, tracing
from etl_telemetry.catalogue import (
    DB_NAMESPACE,
    DB_OPERATION_BATCH_SIZE,
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_SYSTEM_NAME,
    SERVER_ADDRESS,
    SERVER_PORT,
    QueryStatus,
)
from etl_telemetry.instrumentation.copying import TRACED

Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]

_SYSTEMS = {"oracle": "oracle.db"}
_FILE = "sqlite"
_QUOTES_STRINGS = "mysql"


class Watch:
    """The execute wrapper of one connection object of Django."""

    __slots__ = ("_alias", "_attributes", "_kind", "_quoted_names", "_traced", "running")

    def __init__(self, connection: Any) -> None:
        self._alias = connection.alias
        self._attributes = _where(connection)
        self._quoted_names = connection.vendor != _QUOTES_STRINGS
        self._kind: type | None = None
        self._traced = False
        self.running = 0
        """Statements that the connection executes now."""

    def __call__(
        self,
        execute: Execute,
        sql: Any,
        params: Any,
        many: bool,  # noqa: FBT001 - as Django calls it
        context: dict[str, Any],
    ) -> Any:
        """Send a statement, and count it however it ends."""
        word = queries.operation(sql)
        status = QueryStatus.ERROR
        span: Span | None = None
        with guard.absorb("the span of a query"):
            if self._wants_span(context):
                span = self._span(word, sql, params, many=many)
        self.running += 1
        started = perf_counter()
        try:
            result = execute(sql, params, many, context)
            status = QueryStatus.SUCCESS
            return result
        except BaseException as error:
            if span is not None:
                with guard.absorb("the span of a query"):
                    tracing.record_exception(span, error)
            raise
        finally:
            seconds = perf_counter() - started
            self.running -= 1
            if span is not None:
                with guard.absorb("the span of a query"):
                    span.end()
            with guard.absorb("counting a query"):
                queries.count(sql, seconds, quoted_names=self._quoted_names)
                rows = _rows(context) if status is QueryStatus.SUCCESS else None
                metrics.record_database_query(self._alias, word, status, seconds, rows=rows)

    def _wants_span(self, context: dict[str, Any]) -> bool:
        """Tell whether the statement is part of a trace, and its driver makes no span of it.

        A statement of its own (session clean-up, polling) would be a trace of no use.
        """
        if not trace.get_current_span().is_recording() or not is_instrumentation_enabled():
            return False
        kind = type(getattr(context.get("cursor"), "cursor", None))
        if kind is not self._kind:
            self._kind = kind
            self._traced = getattr(kind, TRACED, False) or any(
                base.__module__.startswith("opentelemetry.") for base in kind.__mro__
            )
        return not self._traced

    def _span(self, word: str, sql: Any, params: Any, *, many: bool) -> Span:
        """Start a span that nothing is below: it need not be current, which costs as much again."""
        told = {**self._attributes, DB_OPERATION_NAME: word}
        if isinstance(sql, str):
            told[DB_QUERY_TEXT] = redaction.sql(sql, quoted_names=self._quoted_names)
        if many and isinstance(params, Sized):
            told[DB_OPERATION_BATCH_SIZE] = len(params)
        return tracing.tracer().start_span(word, kind=SpanKind.CLIENT, attributes=told)


def _where(connection: Any) -> dict[str, str | int]:
    """Return what spans say of a database. A file's name is no business of theirs."""
    told: dict[str, str | int] = {
        DB_SYSTEM_NAME: _SYSTEMS.get(connection.vendor, connection.vendor)
    }
    if connection.vendor != _FILE:
        settings = connection.settings_dict
        given = {
            DB_NAMESPACE: settings["NAME"],
            SERVER_ADDRESS: settings["HOST"],
            SERVER_PORT: int(settings["PORT"]) if str(settings["PORT"]).isdigit() else None,
        }
        told |= {
            key: str(value) if key != SERVER_PORT else value
            for key, value in given.items()
            if value
        }
    return told


def _rows(context: dict[str, Any]) -> int | None:
    """Return how many rows the driver says; it says -1 where it does not know yet."""
    rows = getattr(context.get("cursor"), "rowcount", None)
    return rows if isinstance(rows, int) and rows > 0 else None
