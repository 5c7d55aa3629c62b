"""The parts of a response that are made while they are sent: inside of the request's context."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.http import FileResponse

Around = Callable[[], AbstractContextManager[None]]
"""Gives what is entered while one part is made."""


def follow(response: Any, around: Around, done: Callable[[], None]) -> bool:
    """Make each part of a streaming response inside of `around`; call `done` after the last.

    A file stays as it is: whoever replaced its content would keep the server from
    sending it by itself. Returns whether the response is followed.
    """
    if not response.streaming or isinstance(response, FileResponse):
        return False
    wrap = _async_parts if response.is_async else _parts
    response.streaming_content = wrap(response.streaming_content, around, done)
    return True


def _parts(content: Iterable[Any], around: Around, done: Callable[[], None]) -> Iterator[Any]:
    parts = iter(content)
    while True:
        with around():
            try:
                part = next(parts)
            except StopIteration:
                done()
                return
        yield part


async def _async_parts(
    content: AsyncIterable[Any], around: Around, done: Callable[[], None]
) -> AsyncIterator[Any]:
    parts = aiter(content)
    try:
        while True:
            with around():
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    done()
                    return
            yield part
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()
