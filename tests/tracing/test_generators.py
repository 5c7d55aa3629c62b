"""Generators: what a consumer sees is as without us, and the span follows the body alone."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.trace import StatusCode

from etl_telemetry.tracing import span, traced
from support.telemetry import Telemetry, telemetry


class ThrownError(Exception):
    """What a consumer throws in."""


def current() -> str | None:
    """Return the name of the span that is current here."""
    found = trace.get_current_span()
    return getattr(found, "name", None)


@traced(name="numbers")
def numbers(n: int = 3, seen: list[object] | None = None) -> Iterator[int]:
    """Yield numbers and note which span is current in the body."""
    for number in range(n):
        if seen is not None:
            seen.append(current())
        yield number


@traced(name="slow numbers")
async def slow_numbers(n: int = 3, seen: list[object] | None = None) -> AsyncIterator[int]:
    """Yield numbers, giving way in between."""
    for number in range(n):
        await asyncio.sleep(0)
        if seen is not None:
            seen.append(current())
        yield number


def names(seen: Telemetry) -> list[str]:
    """Return the names of the spans that ended."""
    return [found.name for found in seen.spans()]


def test_span_is_current_in_the_body_only(seen: Telemetry) -> None:
    """Never in the consumer's loop; what the consumer starts is no child."""
    inside: list[object] = []
    outside = []
    with span("consumer"):
        for _ in numbers(2, inside):
            outside.append(current())
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
    assert names(seen) == []
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
            yield current()
            yield current()
            with span("innermost"):
                pass
        yield current()

    with span("consumer"):
        found = [(name, current()) for name in body()]
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
    assert names(seen) == ["numbers"]
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
        outside.append(current())

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
    assert names(seen) == ["inner", "outer"]


def test_plain_generator_with_a_block_that_is_closed_elsewhere(seen: Telemetry) -> None:
    """Without `@traced` the block leaks into the consumer, as with any OpenTelemetry span."""

    def body() -> Iterator[int]:
        with span("inner"):
            yield 1

    items = body()
    other = contextvars.copy_context()
    other.run(next, items)
    items.close()  # type: ignore[attr-defined]
    assert names(seen) == ["inner"]
    assert other.run(current) == "inner"


# --- The same as without us -------------------------------------------------

Action = tuple[str, Any]
_actions = st.lists(
    st.one_of(
        st.just(("next", None)),
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(st.just("throw"), st.sampled_from([ThrownError, ValueError, GeneratorExit,
                                                     StopIteration, KeyboardInterrupt])),
        st.just(("close", None)),
    ), max_size=8)  # fmt: skip
_behaviours = st.fixed_dictionaries({
    "yields": st.integers(0, 4), "catches": st.sampled_from([(), (ThrownError,), (BaseException,)]),
    "answers": st.booleans(), "fails": st.booleans(), "cleans_up": st.booleans(),
})  # fmt: skip


def make(behaviour: dict[str, Any], log: list[Any]) -> Callable[[], Generator[Any, Any, Any]]:
    """Return a generator function that behaves as told, and logs what reaches it."""

    def body() -> Generator[Any, Any, Any]:
        try:
            for number in range(behaviour["yields"]):
                try:
                    log.append(("got", (yield number)))
                except behaviour["catches"] as error:
                    log.append(("caught", type(error), type(error.__context__)))
                    if behaviour["answers"]:
                        yield "answer"
                    else:
                        return "early"
            if behaviour["fails"]:
                raise LookupError("body")
            return "end"
        finally:
            if behaviour["cleans_up"]:
                log.append("clean")

    return body


def play(body: Generator[Any, Any, Any], actions: list[Action]) -> list[Any]:
    """Return all that a consumer sees."""
    seen: list[Any] = []
    for name, argument in actions:
        arguments = () if argument is None else (argument,)
        try:
            seen.append(next(body) if name == "next" else getattr(body, name)(*arguments))
        except BaseException as error:  # noqa: BLE001 - all that a consumer can see
            seen.append((type(error), str(error), getattr(error, "value", None),
                         type(error.__context__), type(error.__cause__)))  # fmt: skip
    # A body that answers a GeneratorExit has to be told again.
    for _ in range(10):
        with suppress(RuntimeError):
            body.close()
            break
    return seen


@given(behaviour=_behaviours, actions=_actions)
def test_generator_is_as_without_us(behaviour: dict[str, Any], actions: list[Action]) -> None:
    """Whatever a consumer does: same values, same errors, same order; no leak, one span at most."""
    recorded = telemetry()
    before = context.get_current()
    plain_log: list[Any] = []
    log: list[Any] = []
    expected = play(make(behaviour, plain_log)(), actions)
    assert play(traced(make(behaviour, log))(), actions) == expected
    assert log == plain_log
    assert context.get_current() is before
    started = any(name in {"next", "send", "throw"} for name, _ in actions)
    assert len(recorded.spans()) <= started


def make_async(behaviour: dict[str, Any], log: list[Any]) -> Callable[[], Any]:
    """Return an async generator function that behaves as told."""

    async def body() -> AsyncIterator[Any]:
        try:
            for number in range(behaviour["yields"]):
                try:
                    await asyncio.sleep(0)
                    log.append(("got", (yield number)))
                except behaviour["catches"] as error:
                    log.append(("caught", type(error), type(error.__context__)))
                    if behaviour["answers"]:
                        yield "answer"
                    else:
                        return
            if behaviour["fails"]:
                raise LookupError("body")
        finally:
            if behaviour["cleans_up"]:
                await asyncio.sleep(0)
                log.append("clean")

    return body


async def play_async(body: Any, actions: list[Action]) -> list[Any]:
    """Return all that a consumer sees."""
    seen: list[Any] = []
    methods = {"next": "__anext__", "send": "asend", "throw": "athrow", "close": "aclose"}
    for name, argument in actions:
        arguments = () if argument is None else (argument,)
        try:
            seen.append(await getattr(body, methods[name])(*arguments))
        except BaseException as error:  # noqa: BLE001 - all that a consumer can see
            seen.append((type(error), str(error), type(error.__context__), type(error.__cause__)))
    # Not left to the end of the loop, which cancels a clean-up that waits, sooner or later.
    await body.aclose()
    return seen


_async_actions = _actions.map(
    lambda actions: [a for a in actions if a[1] not in {KeyboardInterrupt, StopIteration}]
)


# A body that answers a GeneratorExit is left for good by aclose() in CPython: nothing to compare.
_async_behaviours = _behaviours.filter(
    lambda behaviour: not (behaviour["answers"] and BaseException in behaviour["catches"])
)


@given(behaviour=_async_behaviours, actions=_async_actions)
def test_async_generator_is_as_without_us(behaviour: dict[str, Any], actions: list[Action]) -> None:
    """Whatever a consumer does, and however the event loop ends: as without us."""
    recorded = telemetry()
    before = context.get_current()
    plain_log: list[Any] = []
    log: list[Any] = []
    expected = asyncio.run(play_async(make_async(behaviour, plain_log)(), actions))
    assert asyncio.run(play_async(traced(make_async(behaviour, log))(), actions)) == expected
    assert log == plain_log
    assert context.get_current() is before
    assert len(recorded.spans()) <= 1


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


# --- Async generators -------------------------------------------------------


def test_async_span_is_current_in_the_body_only(seen: Telemetry) -> None:
    """Also while the body waits: the consumer is another one."""
    inside: list[object] = []
    outside = []

    async def consume() -> None:
        with span("consumer"):
            async for _ in slow_numbers(2, inside):
                outside.append(current())
                await asyncio.sleep(0)
                outside.append(current())

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
    assert names(seen) == ["consumer", "slow numbers", "slow numbers"]
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
    assert (names(seen), cleaned, complaints) == (["waits"], [1], [])


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
    assert names(seen) == ["waiting"]
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
    assert current() is None


def test_async_generator_closed_in_another_task(seen: Telemetry) -> None:
    """Each step in a task, and so a context, of its own."""
    inside: list[object] = []

    async def main() -> None:
        items = slow_numbers(3, inside)
        with span("consumer"):
            await asyncio.create_task(anext(items))  # type: ignore[arg-type]
        await asyncio.create_task(anext(items))  # type: ignore[arg-type]
        await asyncio.create_task(items.aclose())  # type: ignore[attr-defined]
        assert current() is None

    asyncio.run(main())
    assert inside == ["slow numbers"] * 2
    assert names(seen) == ["consumer", "slow numbers"]
