"""How an exception gets onto a span: the one place.

What ends a call counts as follows (semantic conventions, "Recording errors"):

- An `Exception` is an error: status ERROR, `error.type`, and one exception event,
  on the innermost of our spans of that trace which it passes through.
- Another `BaseException` (`asyncio.CancelledError`, `KeyboardInterrupt`,
  `SystemExit` with a code) is a request to stop: the status stays unset and there
  is no event; `error.type` names it, so that such spans can be found.
- `GeneratorExit`, `StopIteration`, `StopAsyncIteration` and `SystemExit` without
  a code are how things end well: nothing is recorded.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from opentelemetry.trace import Span, Status, StatusCode

from etl_telemetry import guard, redaction, values
from etl_telemetry.catalogue import (
    ERROR_TYPE,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from etl_telemetry.tracing.settings import settings

MAX_DESCRIPTION = 512
"""Characters of a span's status description."""
MAX_STACKTRACE = 16_384
"""Characters of a stack trace."""
_MAX_MESSAGE = 65_536
_MAX_FRAMES = 40
_MAX_CAUSES = 4
_MAX_GROUP = 5

_NO_ERROR = (GeneratorExit, StopIteration, StopAsyncIteration)
_HERE = str(Path(__file__).parent)
# In the exception's own dictionary: the trace in which it was recorded. A weak set does not do,
# since built-in exceptions take no weak references. Survives pickling, where it still is true.
_RECORDED_IN = "__etl_telemetry_recorded_in__"

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def record_exception(span: Span, error: BaseException) -> None:
    """Record that `error` ended what `span` describes: status, type, one event; never raise.

    Message and stack trace are redacted and bounded. Passing the same exception
    to the spans around it sets their status and `error.type` only.

    >>> from opentelemetry.trace import INVALID_SPAN
    >>> record_exception(INVALID_SPAN, ValueError("a span that does not record takes nothing"))
    """
    with guard.absorb("recording an exception"):
        if span.is_recording() and not _is_no_error(error):
            _record(span, error)


def type_name(kind: type[BaseException]) -> str:
    """Return the name of an exception type as `error.type` has it.

    >>> type_name(ValueError), type_name(TimeoutError), type_name(traceback.TracebackException)
    ('ValueError', 'TimeoutError', 'traceback.TracebackException')
    """
    module, name = kind.__module__, kind.__qualname__
    return name if module == "builtins" else f"{module}.{name}"


def _is_no_error(error: BaseException) -> bool:
    return isinstance(error, _NO_ERROR) or (isinstance(error, SystemExit) and not error.code)


def _record(span: Span, error: BaseException) -> None:
    kind = values.text(type_name(type(error)))
    span.set_attribute(ERROR_TYPE, kind)
    if not isinstance(error, Exception):
        return
    message = _message(error)
    span.set_status(Status(StatusCode.ERROR, values.text(message[:MAX_DESCRIPTION])))
    trace_id = span.get_span_context().trace_id
    if error.__dict__.get(_RECORDED_IN) == trace_id:
        return
    settings().recorder(
        span,
        {
            EXCEPTION_TYPE: kind,
            EXCEPTION_MESSAGE: message,
            EXCEPTION_STACKTRACE: _stack_trace(error, message),
        },
    )
    # Past __setattr__, which an exception class may forbid (frozen dataclasses do).
    error.__dict__[_RECORDED_IN] = trace_id


def _message(error: BaseException) -> str:
    text = values.text(error, limit=_MAX_MESSAGE)
    return redaction.exception_text(text, policy=settings().policy)


def _stack_trace(error: BaseException, message: str) -> str:
    """Return the traceback and those of its causes; each message is redacted by itself."""
    text = _traceback(error, message)
    for words, earlier in _causes(error):
        text = _traceback(earlier, _message(earlier)) + words + text
    if len(text) > MAX_STACKTRACE:
        text = "…" + text[1 - MAX_STACKTRACE :]
    return values.text(text, limit=MAX_STACKTRACE)


def _causes(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield what led to an exception, latest first, with the words that lead on from it."""
    for _ in range(_MAX_CAUSES):
        if error.__cause__ is not None:
            words, error = _CAUSE, error.__cause__
        elif error.__context__ is not None and not error.__suppress_context__:
            words, error = _CONTEXT, error.__context__
        else:
            return
        yield words, error


def _traceback(error: BaseException, message: str) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__, limit=-_MAX_FRAMES)
        if not frame.filename.startswith(_HERE)
    ]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    lines.append(f"{type_name(type(error))}: {message}\n")
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[:_MAX_GROUP]
        lines.extend(f"  + {type_name(type(one))}: {_message(one)}\n" for one in inner)
    return "".join(lines)
