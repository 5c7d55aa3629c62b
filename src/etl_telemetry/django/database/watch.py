"""See every statement that Django sends, by the hook that it has for that.

An execute wrapper works with DEBUG off, for every alias, in every thread and under
asyncio, and asks the database nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any

from etl_telemetry import guard, metrics, queries
from etl_telemetry.catalogue import OTHER, QueryStatus

Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]

_OPERATION = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*([A-Za-z]+)")
_OPERATIONS = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "WITH", "COPY", "CALL", "EXPLAIN",
     "CREATE", "ALTER", "DROP", "TRUNCATE", "SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT",
     "SET", "SHOW", "PRAGMA", "DECLARE", "FETCH", "LOCK", "VACUUM", "ANALYZE", "REFRESH")
)  # fmt: skip


def operation(statement: object) -> str:
    """Return the first word of a statement in capitals, or ``other``: a bounded label.

    >>> operation("/* app */ (select 1)"), operation("FLY me TO the moon"), operation(b"SELECT 1")
    ('SELECT', 'other', 'other')
    """
    match = _OPERATION.match(statement) if isinstance(statement, str) else None
    word = match[1].upper() if match else OTHER
    return word if word in _OPERATIONS else OTHER


class Watch:
    """The execute wrapper of one connection object of Django."""

    __slots__ = ("_alias", "running")

    def __init__(self, alias: str) -> None:
        self._alias = alias
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
        status = QueryStatus.ERROR
        self.running += 1
        started = perf_counter()
        try:
            result = execute(sql, params, many, context)
            status = QueryStatus.SUCCESS
            return result
        finally:
            seconds = perf_counter() - started
            self.running -= 1
            with guard.absorb("counting a query"):
                queries.count(sql, seconds)
                metrics.record_database_query(
                    self._alias, operation(sql), status, seconds,
                    rows=_rows(context) if status is QueryStatus.SUCCESS else None,
                )  # fmt: skip


def _rows(context: dict[str, Any]) -> int | None:
    """Return how many rows the driver says; it says -1 where it does not know yet."""
    rows = getattr(context.get("cursor"), "rowcount", None)
    return rows if isinstance(rows, int) and rows > 0 else None
