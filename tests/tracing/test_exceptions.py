"""Exceptions: recorded once, redacted, bounded; what is no error is none."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from etl_telemetry import guard
from etl_telemetry.redaction import Policy
from etl_telemetry.tracing import configure, record_exception, span, traced
from etl_telemetry.tracing.exceptions import MAX_DESCRIPTION, MAX_STACKTRACE
from support.hostile import Unprintable
from support.telemetry import Telemetry


class AppError(Exception):
    """An error of the application."""


@dataclass(frozen=True)
class FrozenError(Exception):
    """An error that takes no attributes."""

    code: int


def outcome(found: ReadableSpan) -> tuple[Any, ...]:
    """Return what a span says about its end."""
    return (
        found.status.status_code,
        found.status.description,
        dict(found.attributes or {}).get("error.type"),
        [dict(event.attributes or {}).get("exception.type") for event in found.events],
    )


def failing(error: BaseException) -> Callable[[], NoReturn]:
    """Return a traced function that raises `error`."""

    @traced
    def fail() -> NoReturn:
        raise error

    return fail


def raised(error: BaseException) -> None:
    """Let a traced function raise `error`, and catch that very object."""
    with pytest.raises(type(error)) as caught:
        failing(error)()
    assert caught.value is error


def test_error_gives_status_type_and_event(seen: Telemetry) -> None:
    """All three, by the semantic conventions; the trace begins in the function, without us."""
    raised(AppError("no such file"))
    (found,) = seen.spans()
    name = f"{__name__}.AppError"
    assert outcome(found) == (StatusCode.ERROR, "no such file", name, [name])
    (event,) = found.events
    attributes = dict(event.attributes or {})
    trace = str(attributes.pop("exception.stacktrace"))
    assert (event.name, attributes) == (
        "exception", {"exception.type": name, "exception.message": "no such file"}
    )  # fmt: skip
    lines = trace.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{__file__}", line ')
    assert lines[1].endswith(", in fail")
    assert lines[2:] == ["    raise error", f"{name}: no such file"]


def test_built_in_errors_have_no_module(seen: Telemetry) -> None:
    """`ValueError`, not `builtins.ValueError`."""
    raised(ValueError("x"))
    assert outcome(seen.spans()[0]) == (StatusCode.ERROR, "x", "ValueError", ["ValueError"])


def test_one_event_for_an_error_that_passes_through_many(seen: Telemetry) -> None:
    """On the innermost span; each outer one has status and type."""

    @traced(name="middle")
    def middle() -> None:
        with span("block"):
            failing(AppError("x"))()

    @traced(name="outer")
    async def outer() -> None:
        middle()

    with pytest.raises(AppError):
        asyncio.run(outer())
    assert [outcome(found)[3] for found in seen.spans()] == [
        [f"{__name__}.AppError"], [], [], []
    ]  # fmt: skip
    assert {outcome(found)[:3] for found in seen.spans()} == {
        (StatusCode.ERROR, "x", f"{__name__}.AppError")
    }


def test_same_error_in_another_trace_is_recorded_again(seen: Telemetry) -> None:
    """An exception that is kept and raised later belongs to that trace too."""
    error = AppError("x")
    raised(error)
    raised(error)
    assert [len(found.events) for found in seen.spans()] == [1, 1]
    assert pickle.loads(pickle.dumps(error)).args == ("x",)  # noqa: S301 - our own


def test_another_error_on_the_way_is_recorded(seen: Telemetry) -> None:
    """A translated error is an error of its own; its trace tells where it came from."""

    @traced(name="outer")
    def outer() -> None:
        try:
            failing(ValueError("inner"))()
        except ValueError as error:
            raise AppError("outer") from error

    with pytest.raises(AppError):
        outer()
    assert [outcome(found)[3] for found in seen.spans()] == [
        ["ValueError"], [f"{__name__}.AppError"]
    ]  # fmt: skip
    trace = str(dict(seen.spans()[1].events[0].attributes or {})["exception.stacktrace"])
    assert trace.index("ValueError: inner") < trace.index(
        "\nThe above exception was the direct cause of the following exception:\n\nTraceback"
    )
    assert trace.endswith(f"{__name__}.AppError: outer\n")


def test_frozen_errors_are_recorded_once_too(seen: Telemetry) -> None:
    """An exception class may forbid attributes."""
    with pytest.raises(FrozenError), span("outer"):
        failing(FrozenError(5))()
    assert [len(found.events) for found in seen.spans()] == [1, 0]
    assert guard.drops() == {}


@pytest.mark.parametrize(
    "error", [GeneratorExit(), StopIteration(), StopAsyncIteration(), SystemExit(), SystemExit(0)]
)
def test_what_is_no_error(seen: Telemetry, error: BaseException) -> None:
    """How things end well: nothing is recorded."""
    raised(error)
    assert outcome(seen.spans()[0]) == (StatusCode.UNSET, None, None, [])


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit"),
    ],
)
def test_request_to_stop(seen: Telemetry, error: BaseException, name: str) -> None:
    """No failure, so no status and no event; the type names it."""
    raised(error)
    assert outcome(seen.spans()[0]) == (StatusCode.UNSET, None, name, [])


def test_text_is_redacted(seen: Telemetry) -> None:
    """In message, stack trace, causes and status, also without our gate."""
    secret = "zqSECRETqz"

    @traced
    def outer() -> None:
        try:
            failing(ValueError(f"duplicate\nDETAIL:  Key (mail)=({secret}) exists."))()
        except ValueError as error:
            raise AppError(f"for url: http://u:{secret}@a/?b={secret}") from error

    with pytest.raises(AppError):
        outer()
    _, found = seen.spans()
    assert secret not in str([dict(event.attributes or {}) for event in found.events])
    assert found.status.description == "for url: http://REDACTED:REDACTED@a/?b=REDACTED"


def test_allowed_text_stays(seen: Telemetry) -> None:
    """What set-up allows."""
    configure(policy=Policy(allow=("exception.message",)))
    raised(AppError("DETAIL: x"))
    assert seen.spans()[0].status.description == "DETAIL: x"


def test_text_is_bounded(seen: Telemetry) -> None:
    """A huge message, a long chain and deep recursion."""

    def deep(n: int) -> NoReturn:
        if n:
            deep(n - 1)
        raise AppError("x" * 1_000_000)

    @traced
    def outer() -> None:
        for _ in range(20):
            try:
                deep(100)
            except AppError as error:
                previous = error
        raise AppError("y" * 200_000) from previous

    with pytest.raises(AppError):
        outer()
    (found,) = seen.spans()
    attributes = dict(found.events[0].attributes or {})
    assert len(str(attributes["exception.message"])) == 2_048
    assert len(str(attributes["exception.stacktrace"])) <= MAX_STACKTRACE
    assert len(found.status.description or "") == MAX_DESCRIPTION


def test_error_that_cannot_be_printed(seen: Telemetry) -> None:
    """It is counted, and its type is told."""

    class ShyError(Unprintable, Exception):  # type: ignore[misc]
        pass

    raised(ShyError())
    (found,) = seen.spans()
    assert found.status.description == "<unprintable ShyError>"
    assert guard.drops()["invalid_value"] >= 1


def test_causes_without_end(seen: Telemetry) -> None:
    """Exceptions that are each other's cause: a bounded number is told."""
    one, two = AppError("one"), AppError("two")
    one.__cause__, two.__cause__ = two, one
    raised(one)
    trace = str(dict(seen.spans()[0].events[0].attributes or {})["exception.stacktrace"])
    assert trace.count("direct cause") == 4


def test_group_tells_its_members(seen: Telemetry) -> None:
    """Each member's type and message."""
    raised(ExceptionGroup("both", [ValueError("a"), AppError("DETAIL: b")]))
    trace = str(dict(seen.spans()[0].events[0].attributes or {})["exception.stacktrace"])
    assert trace.endswith(
        "ExceptionGroup: both (2 sub-exceptions)\n"
        f"  + ValueError: a\n  + {__name__}.AppError: DETAIL: ?\n"
    )


def test_recorder_is_the_switch(seen: Telemetry) -> None:
    """Where exceptions go is decided in one place (OTEP 4430)."""
    taken: list[Mapping[str, Any]] = []
    configure(recorder=lambda _, exception: taken.append(exception))
    raised(AppError("x"))
    assert seen.spans()[0].events == ()
    assert [dict(one)["exception.message"] for one in taken] == ["x"]


def test_recorder_that_fails_does_not_reach_the_application(seen: Telemetry) -> None:
    """Nor does it hide the application's own error."""

    def broken(*_: object) -> None:
        raise RuntimeError("recorder")

    configure(recorder=broken)
    raised(AppError("x"))
    assert outcome(seen.spans()[0])[0] is StatusCode.ERROR
    assert guard.drops() == {"internal_error": 1}


def test_record_exception_by_hand(seen: Telemetry) -> None:
    """For spans that are not ours: an error that was handled."""
    with span("x") as current:
        record_exception(current, AppError("handled"))
    assert outcome(seen.spans()[0]) == (
        StatusCode.ERROR, "handled", f"{__name__}.AppError", [f"{__name__}.AppError"]
    )  # fmt: skip
