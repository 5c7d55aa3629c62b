"""psycopg 3: COPY and server-side cursors, which the instrumentor does not see.

It makes classes of cursors for `execute` and `executemany`, through the connection's
`cursor_factory`. `copy()` is another method, and named cursors come from another
factory; Django makes its own of those. So the classes themselves are wrapped. The
commenter and `capture_parameters` stay off, as for psycopg2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from functools import wraps
from typing import Any

from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of
from etl_telemetry.instrumentation.copying import TRACED, copying, statement_span
from etl_telemetry.instrumentation.wrapping import replace

Method = Callable[..., Any]


def instrument(instrumentor: Instrumentor | None, _: Config) -> Undo | None:
    """Instrument psycopg 3 (`table.Adapter`)."""
    if instrumentor is None:
        return None
    instrumentor.instrument()
    undo = undo_of(instrumentor)
    return None if undo is None else _with_more(undo)


def _with_more(undo: Undo) -> Undo:
    import psycopg

    undos = [
        replace(psycopg.Cursor, "copy", _copy),
        replace(psycopg.AsyncCursor, "copy", _async_copy),
        replace(psycopg.ServerCursor, "execute", _execute),
        replace(psycopg.AsyncServerCursor, "execute", _async_execute),
    ]
    servers = (psycopg.ServerCursor, psycopg.AsyncServerCursor)
    for kind in servers:
        setattr(kind, TRACED, True)

    def undo_all() -> None:
        for one in (*undos, undo):
            one()
        for kind in servers:
            delattr(kind, TRACED)

    return undo_all


def _copy(before: Callable[..., AbstractContextManager[Any]]) -> Method:
    @wraps(before)
    @contextmanager
    def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with copying(self, statement), before(self, statement, *args, **kwargs) as made:
            yield made

    return copy


def _async_copy(before: Callable[..., AbstractAsyncContextManager[Any]]) -> Method:
    @wraps(before)
    @asynccontextmanager
    async def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with copying(self, statement):
            async with before(self, statement, *args, **kwargs) as made:
                yield made

    return copy


def _execute(before: Method) -> Method:
    @wraps(before)
    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        with statement_span(self, query):
            return before(self, query, *args, **kwargs)

    return execute


def _async_execute(before: Callable[..., Awaitable[Any]]) -> Method:
    @wraps(before)
    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        with statement_span(self, query):
            return await before(self, query, *args, **kwargs)

    return execute
