"""Generators: the span follows the body alone, however it ends."""

from __future__ import annotations

import contextvars
import gc
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from etl_telemetry.tracing import span, traced
from support.telemetry import Telemetry, current_name


class ThrownError(Exception):
    """What a consumer throws in."""


@traced(name="numbers")
def numbers(n: int = 3, seen: list[object] | None = None) -> Iterator[int]:
    """Yield numbers and note which span is current in the body."""
    for number in range(n):
        if seen is not None:
            seen.append(current_name())
        yield number


def test_span_is_current_in_the_body_only(seen: Telemetry) -> None:
    """Never in the consumer's loop; what the consumer starts is no child."""
    inside: list[object] = []
    outside = []
    with span("consumer"):
        for _ in numbers(2, inside):
            outside.append(current_name())
            with span("work"):
                pass
    assert (inside, outside) == (["numbers"] * 2, ["consumer"] * 2)
    ids = {found.context.span_id: found.name for found in seen.spans()}
    parents = {found.name: found.parent and ids[found.parent.span_id] for found in seen.spans()}
    assert parents == {"consumer": None, "numbers": "consumer", "work": "consumer"}


def test_span_begins_with_the_first_step(seen: Telemetry) -> None:
    """A generator that nobody asks has no span; its parent is where it is first asked."""
    idle = numbers()
    del idle
    assert seen.names() == []
    with span("maker"):
        made = numbers(1)
    with span("consumer"):
        assert list(made) == [0]
    found = seen.span("numbers")
    assert found.parent == seen.span("consumer").context


def test_what_the_body_makes_current_is_there_at_the_next_step(seen: Telemetry) -> None:
    """A `with` around a yield is what the body is in when it goes on, and nobody else."""

    @traced(name="outer")
    def body() -> Iterator[str | None]:
        with span("inner"):
            yield current_name()
            yield current_name()
            with span("innermost"):
                pass
        yield current_name()

    with span("consumer"):
        found = [(name, current_name()) for name in body()]
    assert found == [("inner", "consumer"), ("inner", "consumer"), ("outer", "consumer")]
    assert seen.span("innermost").parent == seen.span("inner").context


@pytest.mark.parametrize("ending", ["break", "close", "throw", "collect", "exhaust", "consumer"])
def test_span_ends_once_however_it_ends(seen: Telemetry, ending: str) -> None:
    """By break, close(), throw(), garbage collection, the end, an error of the consumer."""
    found: Any = numbers()
    if ending == "break":
        for _ in found:
            break
        del found
    elif ending == "exhaust":
        list(found)
    else:
        next(found)
        if ending == "close":
            found.close()
            found.close()
        elif ending == "throw":
            with pytest.raises(ThrownError):
                found.throw(ThrownError("x"))
        elif ending == "collect":
            cycle = [found]
            cycle.append(cycle)  # type: ignore[arg-type]
            del found, cycle
        else:
            with suppress(ThrownError):
                raise_in_loop(found)
            del found
    gc.collect()
    assert seen.names() == ["numbers"]
    (ended,) = seen.spans()
    is_error = ending == "throw"
    assert ended.status.status_code is (StatusCode.ERROR if is_error else StatusCode.UNSET)
    assert len(ended.events) == is_error


def raise_in_loop(items: Iterator[int]) -> None:
    """Fail while consuming: the generator sees nothing of it."""
    for _ in items:
        raise ThrownError


def test_consumed_in_other_contexts_and_threads(seen: Telemetry) -> None:
    """Each step in a contextvars context or a thread of its own: nothing leaks there."""
    inside: list[object] = []
    items = numbers(4, inside)
    outside: list[object] = []

    def step() -> None:
        next(items)
        outside.append(current_name())

    with span("first"):
        step()
    contextvars.copy_context().run(step)
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    contextvars.Context().run(step)
    contextvars.Context().run(items.close)  # type: ignore[attr-defined]
    assert inside == ["numbers"] * 4
    assert outside == ["first", None, None, None]
    assert seen.span("numbers").parent == seen.span("first").context


def test_block_around_a_yield_that_is_closed_elsewhere(seen: Telemetry) -> None:
    """`span()` inside the body, entered in one context and left in another: no complaint."""

    @traced(name="outer")
    def body() -> Iterator[int]:
        with span("inner"):
            yield 1

    items = body()
    contextvars.copy_context().run(next, items)
    contextvars.Context().run(items.close)  # type: ignore[attr-defined]
    assert seen.names() == ["inner", "outer"]


def test_plain_generator_with_a_block_that_is_closed_elsewhere(seen: Telemetry) -> None:
    """Without `@traced` the block leaks into the consumer, as with any OpenTelemetry span."""

    def body() -> Iterator[int]:
        with span("inner"):
            yield 1

    items = body()
    other = contextvars.copy_context()
    other.run(next, items)
    items.close()  # type: ignore[attr-defined]
    assert seen.names() == ["inner"]
    assert other.run(current_name) == "inner"


def test_value_of_a_generator_reaches_yield_from() -> None:
    """StopIteration's value is kept, at every level."""

    @traced
    def inner() -> Generator[int, int, str]:
        got = yield 1
        return f"got {got}"

    @traced
    def outer() -> Generator[int, int, str]:
        return (yield from inner())

    items = outer()
    assert next(items) == 1
    with pytest.raises(StopIteration) as stop:
        items.send(7)
    assert stop.value.value == "got 7"
