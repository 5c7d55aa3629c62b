"""psycopg2: what we leave off, on purpose, and what we add.

- `skip_dep_check` stays off: the instrumentor recognises psycopg2-binary too.
- The SQL commenter stays off: in psycopg2 and Django together it comments twice.
- `capture_parameters` stays off: parameters are data. Values inside of statements
  (`execute_values` passes mogrified bytes, trap 19) are removed in `runtime`,
  where every span passes, also those of other drivers.
- COPY is added: the instrumentor's cursors have no `copy_expert`, `copy_from`, `copy_to`
  of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of
from etl_telemetry.instrumentation.copying import copying


def instrument(instrumentor: Instrumentor | None, _: Config) -> Undo | None:
    """Instrument psycopg2 (`table.Adapter`)."""
    if instrumentor is None:
        return None
    instrumentor.instrument()
    undo = undo_of(instrumentor)
    return None if undo is None else _with_copy(undo)


def _with_copy(undo: Undo) -> Undo:
    """Let every connection from now on have cursors that trace COPY."""
    import psycopg2

    before: Callable[..., Any] = psycopg2.connect

    @wraps(before)
    def connect(*args: Any, **kwargs: Any) -> Any:
        connection = before(*args, **kwargs)
        with guard.absorb("following a connection of psycopg2"):
            connection.cursor_factory = _copying_cursor(connection.cursor_factory)
        return connection

    psycopg2.connect = connect

    def undo_both() -> None:
        if psycopg2.connect is connect:
            psycopg2.connect = before
        undo()

    return undo_both


def _copying_cursor(factory: type[Any]) -> type[Any]:
    class CopyingCursor(factory):  # type: ignore[misc]
        def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
            with copying(self, sql):
                return super().copy_expert(sql, *args, **kwargs)

        def copy_from(self, file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
            with copying(self, f"COPY {table} FROM STDIN"):
                return super().copy_from(file, table, *args, **kwargs)

        def copy_to(self, file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
            with copying(self, f"COPY {table} TO STDOUT"):
                return super().copy_to(file, table, *args, **kwargs)

    return CopyingCursor
