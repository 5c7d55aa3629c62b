"""Fields that every log record carries while a block or a function runs.

The fields live in a context variable, so threads and asyncio tasks never see one
another's. Handlers and formatters read them; the record factory stays the host's:
with a factory, the same name in a call's own `extra` raises inside the
application.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from functools import wraps
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from etl_telemetry import generators

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING: Mapping[str, object] = MappingProxyType({})


class _Frame:
    """One entered block: what it added, and what was there before."""

    __slots__ = ("fields", "merged", "outer", "owner")

    def __init__(self, owner: object, fields: Mapping[str, object], outer: _Frame | None) -> None:
        self.owner = owner
        self.fields = fields
        self.outer = outer
        inherited = outer.merged if outer is not None else _NOTHING
        self.merged: Mapping[str, object] = MappingProxyType({**inherited, **fields})

    def without(self, owner: object) -> _Frame | None:
        """Return the chain without the innermost frame of `owner` (blocks may end out of order)."""
        if self.owner is owner:
            return self.outer
        if self.outer is None:
            return self
        outer = self.outer.without(owner)
        return self if outer is self.outer else _Frame(self.owner, self.fields, outer)


_current: ContextVar[_Frame | None] = ContextVar("etl_telemetry_log_fields", default=None)


def current_fields() -> Mapping[str, object]:
    """Return the fields of all enclosing `log_context` blocks, the innermost winning.

    >>> with log_context(tenant="AA", batch=1), log_context(batch=2):
    ...     dict(current_fields())
    {'tenant': 'AA', 'batch': 2}
    """
    frame = _current.get()
    return frame.merged if frame is not None else _NOTHING


class log_context:  # noqa: N801 - a public name that reads as the function it replaces
    """Add fields to every log record inside a block, or inside a function.

    Works as `with log_context(...)` and as `@log_context(...)` on functions,
    coroutine functions, generators and async generators (there, only while their
    body runs, not while it is suspended). Blocks nest. One object may be shared
    by many threads and tasks. Values may be anything; they are made printable
    when a record is written.

    >>> @log_context(source="flights.csv")
    ... def load():
    ...     return dict(current_fields())
    >>> load(), dict(current_fields())
    ({'source': 'flights.csv'}, {})
    """

    __slots__ = ("_fields",)

    def __init__(self, /, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        _current.set(_Frame(self, self._fields, _current.get()))

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # No token: the block may end in another context than it began in (a generator
        # that the garbage collector closes), where resetting a token would raise.
        frame = _current.get()
        if frame is not None:
            _current.set(frame.without(self))

    @overload
    def __call__(self, function: classmethod[Any, P, R], /) -> classmethod[Any, P, R]: ...
    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Return `function` with the fields set while its body runs."""
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(self(function.__func__))
        if isinstance(function, type) or not callable(function):
            raise TypeError(
                f"log_context decorates functions and methods, got {function!r}; "
                "decorate its methods, or use `with log_context(...)`"
            )
        return _decorated(self, function)


def _decorated(context: log_context, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `function` with a wrapper of its own kind, so that `inspect` still tells the truth."""
    if inspect.iscoroutinefunction(function):
        return _coroutine(context, function)
    if inspect.isasyncgenfunction(function):
        return generators.async_generator(function, lambda *_: nullcontext(context))
    if inspect.isgeneratorfunction(function):
        return generators.generator(function, lambda *_: nullcontext(context))

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with context:
            return function(*args, **kwargs)

    return wrapper


def _coroutine(context: log_context, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with context:
            return await function(*args, **kwargs)

    return wrapper
