"""Wrap generators so that something is set up while their body runs, and only then.

A generator is suspended in the middle of its `with` blocks: what they set up stays
set up for its consumer. So what belongs to the body is entered for each step.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

Begin = Callable[
    [tuple[Any, ...], Mapping[str, Any]], AbstractContextManager[AbstractContextManager[object]]
]
"""Takes the arguments of a call. Around its whole run, from the first step to the end; gives what
is entered for each step."""


def generator(
    function: Callable[..., Generator[Any, Any, Any]], begin: Begin
) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function that behaves as `function`, with `begin` around it."""

    @functools.wraps(function)
    def driven(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        # Not `yield from`: it answers close() and throw(GeneratorExit) by itself, and in Python
        # 3.13 the value that close() returns would be lost.
        body = function(*args, **kwargs)
        resume: Callable[[Any], Any] = body.send
        given: Any = None
        thrown = _Thrown()
        with begin(args, kwargs) as step:
            while True:
                try:
                    with step:
                        item = resume(given)
                except StopIteration as stop:
                    return stop.value
                with thrown:
                    given = yield item
                    resume = body.send
                    continue
                resume, given = body.throw, thrown.take()

    return driven


def async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], begin: Begin
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Do what `generator` does, for an async generator function."""

    @functools.wraps(function)
    async def driven(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body = function(*args, **kwargs)
        resume: Callable[[Any], Awaitable[Any]] = functools.partial(_first, body)
        given: Any = None
        thrown = _Thrown()
        with begin(args, kwargs) as step:
            while True:
                try:
                    item = await _Slices(resume(given), step)
                except StopAsyncIteration:
                    return
                with thrown:
                    given = yield item
                    resume = body.asend
                    continue
                resume, given = body.athrow, thrown.take()

    return driven


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


class _Slices:
    """Await something in the context of a generator's body, which is current while it runs only.

    Not while it waits: an async generator that the garbage collector finalizes without
    an event loop is left there for good, in whatever context the collector ran.
    """

    __slots__ = ("_inner", "_step")

    def __init__(self, awaitable: Awaitable[Any], step: AbstractContextManager[object]) -> None:
        # What `asend` and `athrow` return has these methods (PEP 525).
        self._inner = awaitable.__await__()
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Go on with what was waited for."""
        with self._step:
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error: a cancellation, for one."""
        with self._step:
            return self._inner.throw(*error)

    def close(self) -> None:
        """Wait no more."""
        with self._step:
            self._inner.close()


class _Thrown:
    """Catch what a consumer throws into a generator, to hand it on to the body.

    A `with` rather than an `except`: outside of the handler the exception has the
    context that it would have without us.
    """

    __slots__ = ("_error",)

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        self._error = error
        return True

    def take(self) -> BaseException | None:
        """Return what was thrown, and forget it: it holds the consumer's frames."""
        error, self._error = self._error, None
        return error
