"""One wrapper for each kind of function, so that each stays what it was."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from etl_telemetry.tracing.blocks import Block, Plan, Slices, Steps, Thrown


def wrapper_for(function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
    """Return `function` with a span around each call, of the same kind as it is."""
    # An object's own call decides: `inspect` does not look at the type of an instance.
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    for kind, wrap in (
        (inspect.isasyncgenfunction, _async_generator),
        (inspect.iscoroutinefunction, _coroutine),
        (inspect.isgeneratorfunction, _generator),
    ):
        if kind(function) or kind(call):
            return wrap(function, plan)
    return _function(function, plan)


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


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], plan: Plan
) -> Callable[..., Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        # Not `yield from`: it answers close() and throw(GeneratorExit) by itself, and in Python
        # 3.13 the value that close() returns would be lost.
        body = function(*args, **kwargs)
        resume: Callable[[Any], Any] = body.send
        given: Any = None
        thrown = Thrown()
        with Steps(plan.start(args, kwargs)) as run:
            while True:
                try:
                    with run.step:
                        item = resume(given)
                except StopIteration as stop:
                    return stop.value
                with thrown:
                    given = yield item
                    resume = body.send
                    continue
                resume, given = body.throw, thrown.take()

    return traced


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], plan: Plan
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body = function(*args, **kwargs)
        resume: Callable[[Any], Awaitable[Any]] = functools.partial(_first, body)
        given: Any = None
        thrown = Thrown()
        with Steps(plan.start(args, kwargs)) as run:
            while True:
                try:
                    item = await Slices(resume(given), run.step)
                except StopAsyncIteration:
                    return
                with thrown:
                    given = yield item
                    resume = body.asend
                    continue
                resume, given = body.athrow, thrown.take()

    return traced


def _first(body: AsyncGenerator[Any, Any], given: Any) -> Awaitable[Any]:
    """Begin an async generator without the event loop's notice.

    The loop closes every generator that it has seen begin, at its end. It has seen
    the wrapper, which closes the body; closing both at once is an error.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
    try:
        return body.asend(given)
    finally:
        sys.set_asyncgen_hooks(*hooks)
