"""The exception of a record: its type, its message and its traceback, redacted."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from etl_telemetry import guard, redaction
from etl_telemetry.logs.plain import encodable

MAX_FRAMES = 60
"""Frames of each traceback in the chain of causes: the innermost ones."""
MAX_STACKTRACE = 16_384
"""Characters of a traceback."""


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What is told about an exception."""

    type: str
    """Qualified name of its class; built-in ones without the module."""
    message: str
    """Its text."""
    stacktrace: str
    """Python's own traceback, with causes."""


def describe(exc_info: object, *, policy: redaction.Policy) -> ErrorInfo | None:
    r"""Return what is told about `LogRecord.exc_info`, whatever it is; None for no exception.

    >>> describe((ValueError, ValueError("no rows"), None), policy=redaction.NOTHING_ALLOWED)
    ErrorInfo(type='ValueError', message='no rows', stacktrace='ValueError: no rows\n')
    """
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) > 1 else exc_info
    if not isinstance(error, BaseException):
        return None
    kind = type(error)
    message = guard.attempt(lambda: str(error), "<exception str() failed>")
    trace = exc_info[2] if isinstance(exc_info, tuple) else error.__traceback__
    # Celery's pool hands over tracebacks that only look like real ones.
    lines = guard.attempt(
        lambda: traceback.format_exception(kind, error, trace, limit=-MAX_FRAMES),
        [f"{kind.__qualname__}: {message}\n"],
    )
    return ErrorInfo(
        type=f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        message=encodable(redaction.exception_text(message, policy=policy)),
        stacktrace=encodable(
            redaction.exception_text("".join(lines), limit=MAX_STACKTRACE, policy=policy)
        ),
    )
