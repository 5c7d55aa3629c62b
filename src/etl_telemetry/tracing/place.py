"""Where a span is current, and how it stops being so, wherever that happens."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry import context as context_api
from opentelemetry.context import Context

# A token of it tells whether we are still in the contextvars context in which it was set.
_HERE: ContextVar[None] = ContextVar("etl_telemetry-here")


class Place:
    """Make an OpenTelemetry context the current one, until `leave()`.

    `opentelemetry.context.detach` logs an error where it is called in another
    contextvars context than `attach` was: a coroutine or an async generator that
    is closed by the event loop, by the garbage collector or in another task. There
    the old context is nobody's, so nothing is restored.
    """

    __slots__ = ("_before", "_context", "_mark", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._before = context_api.get_current()
        self._mark = _HERE.set(None)
        self._token = context_api.attach(context)

    def leave(self) -> None:
        """Make current what was current before."""
        try:
            _HERE.reset(self._mark)
        except ValueError:
            # A copy of our context (a task that was started inside) still shows ours.
            if context_api.get_current() is self._context:
                context_api.attach(self._before)
        else:
            context_api.detach(self._token)
