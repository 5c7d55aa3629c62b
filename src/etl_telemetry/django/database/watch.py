"""See every statement that Django sends, by the hook that it has for that.

An execute wrapper works with DEBUG off, for every alias, in every thread and under
asyncio, and asks the database nothing. Where an instrumentor of the driver makes
the span of the statement, we make none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from functools import lru_cache
from time import perf_counter, time_ns
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
from etl_telemetry.values import AttributeValue

Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]

_SYSTEMS = {"oracle": "oracle.db"}
_FILE = "sqlite"
_QUOTES_STRINGS = "mysql"
_MAX_TEXT = 4_096
"""Characters of a statement that is remembered."""
Where = tuple[tuple[str, str | int], ...]
"""Attributes of a database."""


class Watch:
    """The execute wrapper of one connection object of Django."""

    __slots__ = ("_alias", "_kind", "_quoted_names", "_traced", "_where", "running")

    def __init__(self, connection: Any) -> None:
        self._alias = connection.alias
        self._where: Where = tuple(_where(connection).items())
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
        parent = trace.get_current_span()
        failed: BaseException | None = None
        begin_ns = time_ns()
        self.running += 1
        started = perf_counter()
        try:
            return execute(sql, params, many, context)
        except BaseException as error:
            failed = error
            raise
        finally:
            seconds = perf_counter() - started
            self.running -= 1
            word = queries.operation(sql)
            # Afterwards, with its true times: an open span costs several times as much.
            if parent.is_recording():
                with guard.absorb("the span of a query"):
                    if self._wants_span(context):
                        shape = self._shape(word, sql, params, many=many)
                        times = begin_ns, begin_ns + int(seconds * 1e9)
                        _tell(parent, word, shape, times, failed)
            with guard.absorb("counting a query"):
                queries.count(sql, seconds, quoted_names=self._quoted_names)
                status = QueryStatus.SUCCESS if failed is None else QueryStatus.ERROR
                rows = _rows(context) if failed is None else None
                metrics.record_database_query(self._alias, word, status, seconds, rows=rows)
            failed = None  # No cycle with the frame that it went through.

    def _wants_span(self, context: dict[str, Any]) -> bool:
        """Tell whether the driver makes no span of a statement that is part of a trace.

        A statement of its own (session clean-up, polling) would be a trace of no use.
        """
        if not is_instrumentation_enabled():
            return False
        kind = type(getattr(context.get("cursor"), "cursor", None))
        if kind is not self._kind:
            self._kind = kind
            self._traced = getattr(kind, TRACED, False) or any(
                base.__module__.startswith("opentelemetry.") for base in kind.__mro__
            )
        return not self._traced

    def _shape(
        self, word: str, sql: Any, params: Any, *, many: bool
    ) -> Mapping[str, AttributeValue]:
        """Return what a span says of a statement."""
        if type(sql) is str and len(sql) <= _MAX_TEXT:
            known = _shape(self._where, word, sql, self._quoted_names)
        else:
            known = {**dict(self._where), DB_OPERATION_NAME: word}
            if isinstance(sql, str):
                known[DB_QUERY_TEXT] = redaction.sql(sql, quoted_names=self._quoted_names)
        if many and isinstance(params, Sized):
            return {**known, DB_OPERATION_BATCH_SIZE: len(params)}
        return known


@lru_cache(maxsize=1_024)
def _shape(
    where: Where,
    word: str,
    sql: str,
    quoted_names: bool,  # noqa: FBT001 - the key of the cache
) -> dict[str, AttributeValue]:
    """Return what spans of a statement say: most come again and again, and nobody changes it."""
    text = redaction.sql(sql, quoted_names=quoted_names)
    return {**dict(where), DB_OPERATION_NAME: word, DB_QUERY_TEXT: text}


def _tell(
    parent: Span,
    word: str,
    attributes: Mapping[str, AttributeValue],
    times: tuple[int, int],
    failed: BaseException | None,
) -> None:
    """Make the span of a statement that is over; nothing is below it."""
    begin, end = times
    if failed is None and tracing.emit_child(
        parent.get_span_context(), word, kind=SpanKind.CLIENT,
        start_ns=begin, end_ns=end, attributes=attributes,
    ):  # fmt: skip
        return
    span = tracing.tracer().start_span(
        word, kind=SpanKind.CLIENT, attributes=attributes, start_time=begin
    )
    if failed is not None:
        tracing.record_exception(span, failed)
    span.end(end)


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
