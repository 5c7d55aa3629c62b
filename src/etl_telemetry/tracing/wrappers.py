"""One wrapper for each kind of function, so that each stays what it was."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from etl_telemetry import generators
from etl_telemetry.tracing.blocks import Block, Plan, Steps


def wrapper_for(function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
    """Return `function` with a span around each call, of the same kind as it is."""
    # An object's own call decides: `inspect` does not look at the type of an instance.
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004

    def is_kind(test: Callable[[object], bool]) -> bool:
        return test(function) or test(call)

    def begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Steps:
        return Steps(plan.start(args, kwargs))

    if is_kind(inspect.isasyncgenfunction):
        return generators.async_generator(function, begin)
    if is_kind(inspect.isgeneratorfunction):
        return generators.generator(function, begin)
    wrap = _coroutine if is_kind(inspect.iscoroutinefunction) else _function
    return wrap(function, plan)


def _function(function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with Block(plan.start(args, kwargs)):
            return function(*args, **kwargs)

    return traced


def _coroutine(
    function: Callable[..., Awaitable[Any]], plan: Plan
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        with Block(plan.start(args, kwargs)):
            return await function(*args, **kwargs)

    return traced
