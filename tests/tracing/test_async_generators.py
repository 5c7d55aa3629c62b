"""Async generators: the span follows the body, over tasks, loops and contexts."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import types
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from etl_telemetry.tracing import span, traced
from support.telemetry import Telemetry, current_name


@traced(name="slow numbers")
async def slow_numbers(n: int = 3, seen: list[object] | None = None) -> AsyncIterator[int]:
    """Yield numbers, giving way in between."""
    for number in range(n):
        await asyncio.sleep(0)
        if seen is not None:
            seen.append(current_name())
        yield number


def test_async_span_is_current_in_the_body_only(seen: Telemetry) -> None:
    """Also while the body waits: the consumer is another one."""
    inside: list[object] = []
    outside = []

    async def consume() -> None:
        with span("consumer"):
            async for _ in slow_numbers(2, inside):
                outside.append(current_name())
                await asyncio.sleep(0)
                outside.append(current_name())

    asyncio.run(consume())
    assert (inside, outside) == (["slow numbers"] * 2, ["consumer"] * 4)
    assert seen.span("slow numbers").parent == seen.span("consumer").context


def test_async_generator_that_is_left_is_closed_by_the_loop(seen: Telemetry) -> None:
    """By its finalizer hook in a task of its own, or at its end: one span, no complaint."""
    complaints: list[Any] = []

    async def consume() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, about: complaints.append(about))
        with span("consumer"):
            async for _ in slow_numbers():
                break
        await asyncio.sleep(0.01)
        kept.append(slow_numbers())
        await anext(kept[0])

    kept: list[Any] = []
    asyncio.run(consume())
    assert seen.names() == ["consumer", "slow numbers", "slow numbers"]
    assert complaints == []


def test_body_of_an_async_generator_that_waits_in_its_clean_up(seen: Telemetry) -> None:
    """The loop closes the wrapper only: closing the body too would be an error, and is one."""
    complaints: list[Any] = []
    cleaned = []

    @traced(name="waits")
    async def waits() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            cleaned.append(1)

    async def consume() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, about: complaints.append(about))
        kept.append(waits())
        await anext(kept[0])

    kept: list[Any] = []
    asyncio.run(consume())
    assert (seen.names(), cleaned, complaints) == (["waits"], [1], [])


def test_cancelled_async_generator(seen: Telemetry) -> None:
    """A cancelled task: the span tells it, and is no error."""

    @traced(name="forever")
    async def forever() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in forever():
            started.set()

    async def main() -> None:
        task = asyncio.create_task(consume())
        await started.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    started = asyncio.Event()
    asyncio.run(main())
    (found,) = seen.spans()
    assert found.status.status_code is StatusCode.UNSET
    assert dict(found.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


def test_cancelled_coroutine_that_cleans_up_in_another_context(seen: Telemetry) -> None:
    """A coroutine that is closed by hand, in another context, ends its span there."""

    @types.coroutine
    def pause() -> Generator[None, None, None]:
        yield

    @traced(name="waiting")
    async def waiting() -> None:
        await pause()

    pending = waiting()
    contextvars.copy_context().run(pending.send, None)
    contextvars.Context().run(pending.close)
    assert seen.names() == ["waiting"]
    assert seen.spans()[0].status.status_code is StatusCode.UNSET


def test_async_generator_that_is_collected_without_a_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its clean-up waits for ever, as without us; nothing stays current where that happened."""

    @traced(name="left")
    async def left() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)

    complaints: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda about: complaints.append(str(about.exc_value))
    )
    items = left()
    with suppress(StopIteration):
        items.__anext__().send(None)  # type: ignore[attr-defined]
    del items
    gc.collect()
    assert complaints == ["async generator ignored GeneratorExit"]
    assert current_name() is None


def test_async_generator_closed_in_another_task(seen: Telemetry) -> None:
    """Each step in a task, and so a context, of its own."""
    inside: list[object] = []

    async def main() -> None:
        items = slow_numbers(3, inside)
        with span("consumer"):
            await asyncio.create_task(anext(items))  # type: ignore[arg-type]
        await asyncio.create_task(anext(items))  # type: ignore[arg-type]
        await asyncio.create_task(items.aclose())  # type: ignore[attr-defined]
        assert current_name() is None

    asyncio.run(main())
    assert inside == ["slow numbers"] * 2
    assert seen.names() == ["consumer", "slow numbers"]
