"""Generators: what a consumer sees is as without us, whatever body and consumer do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context

from etl_telemetry.tracing import traced
from support.telemetry import telemetry


class ThrownError(Exception):
    """What a consumer throws in."""


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
