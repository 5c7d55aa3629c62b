"""`@traced`: a span for every call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from opentelemetry.trace import SpanKind

from etl_telemetry import values
from etl_telemetry.catalogue import (
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
)
from etl_telemetry.tracing.arguments import Arguments
from etl_telemetry.tracing.blocks import Plan
from etl_telemetry.tracing.names import span_attributes, span_kind, span_name
from etl_telemetry.tracing.wrappers import wrapper_for
from etl_telemetry.values import AttributeValue

F = TypeVar("F")


@overload
def traced(function: F, /) -> F: ...


@overload
def traced(
    *,
    name: str | None = None,
    attributes: Mapping[str, object] | None = None,
    record_args: bool | str | Iterable[str] = False,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Callable[[F], F]: ...


def traced(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    attributes: Mapping[str, object] | None = None,
    record_args: bool | str | Iterable[str] = False,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Any:
    """Put a span around every call of a function; bare or with options.

    Works on functions, coroutine functions, generators, async generators, methods,
    classmethods and staticmethods (above or below their decorator), partials and
    callable objects. The result is of the same kind and keeps its signature. Under
    Celery's `@app.task` it goes below, next to the function.

    The span of a generator lasts from the first `next()` to the end, and is current
    only while the generator's own body runs.

    - `name`: of the span; by default the function's module and qualified name.
    - `attributes`: the same for every call.
    - `record_args`: True, or the names of parameters to record as
      `etl_telemetry.argument.<name>`: bounded, secret-looking names masked. Off by
      default: arguments are data.
    - `kind`: of the span.

    An exception that leaves the function is recorded once, on the innermost span
    (`tracing.exceptions` says what counts as an error), and raised on. The code
    attributes are those of the semantic conventions (`code.function.name`...).

    Raises TypeError where it decorates what cannot be called, and nothing later.

    >>> @traced(record_args=["n"])
    ... def double(n):
    ...     return 2 * n
    >>> double(21)
    42
    """
    options = _Options(name, attributes, record_args, kind)
    return options.decorate if function is None else options.decorate(function)


class _Options:
    """The options of one `@traced`."""

    def __init__(self, name: object, attributes: object, record_args: object, kind: object) -> None:
        self._name = name
        self._attributes = attributes
        self._record_args = record_args
        self._kind = kind

    def decorate(self, target: Any) -> Any:
        """Return `target` with a span around each call."""
        if isinstance(target, (classmethod, staticmethod)):
            return type(target)(self.decorate(target.__func__))
        if isinstance(target, functools.partialmethod):
            return functools.partialmethod(
                self.decorate(target.func), *target.args, **target.keywords
            )
        if not callable(target) or isinstance(target, type):
            raise TypeError(_refusal(target))
        return wrapper_for(target, self._plan(target))

    def _plan(self, function: Callable[..., Any]) -> Plan:
        code = _code_attributes(function)
        name = code[CODE_FUNCTION_NAME] if self._name is None else span_name(self._name)
        return Plan(
            name=values.text(name),
            kind=span_kind(self._kind),
            attributes={**code, **span_attributes(self._attributes)},
            arguments=Arguments.of(function, self._record_args),
        )


def _code_attributes(function: Any) -> dict[str, AttributeValue]:
    """Return where a function is written (semantic conventions, `code.*`)."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    named = inspect.unwrap(function)
    name = getattr(named, "__qualname__", None) or type(named).__qualname__
    module = getattr(named, "__module__", None)
    found: dict[str, object] = {CODE_FUNCTION_NAME: f"{module}.{name}" if module else name}
    code = getattr(named, "__code__", None)
    if code is not None:
        found[CODE_FILE_PATH] = code.co_filename
        found[CODE_LINE_NUMBER] = code.co_firstlineno
    return values.attributes(found)


def _refusal(target: object) -> str:
    if isinstance(target, type):
        what = f"the class {target.__qualname__}"
        fix = "decorate its methods"
    elif isinstance(target, (property, functools.cached_property)):
        what = f"a {type(target).__name__}"
        fix = "put @traced below @property, next to the function"
    elif isinstance(target, str):
        what = "a text"
        fix = f"write @traced(name={values.text(target, limit=64)!r})"
    else:
        what = f"an object of type {type(target).__qualname__}"
        fix = "decorate a function"
    return f"@traced takes a function, a method or another callable, got {what}: {fix}"
