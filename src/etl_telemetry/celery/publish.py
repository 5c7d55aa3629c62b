"""The span of a publish: around the whole attempt, ended whatever happens.

OpenTelemetry's Celery instrumentor enters its span in `before_task_publish` and
leaves it in `after_task_publish`, which never fires where the broker refuses: the
span stays current for good, and the thread's next request becomes its child
(trap 3). So its two receivers are unplugged (`instrumentation.py`) and the span
is ours, around `Celery.send_task`, through which every publish goes: `delay`,
`apply_async`, `send_task`, canvas, retries, beat.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import celery
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext, SpanKind

from etl_telemetry import catalogue, guard, tracing, values
from etl_telemetry.catalogue import PUBLISH_SPAN, TASK_NAME
from etl_telemetry.celery.outcomes import reason
from etl_telemetry.instrumentation.wrapping import replace

_PUBLISH = context_api.create_key("etl_telemetry-publish")
_ASKED = context_api.create_key("etl_telemetry-retry-reason")
_EXC = 2
"""Place of `exc` among the arguments of `Task.retry`, which takes them by position too."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A publish that is under way."""

    app: Any
    """The application that publishes."""
    span: Span
    """Its span."""
    by: SpanContext
    """The span that was current before; invalid: there was none."""


def under_way() -> Publish | None:
    """Return the publish that the current code is part of, or None."""
    publish = context_api.get_value(_PUBLISH)
    return publish if isinstance(publish, Publish) else None


def retry_reason() -> str | None:
    """Return why the task asks for the retry that is being published, or None."""
    told = context_api.get_value(_ASKED)
    return told if isinstance(told, str) else None


def wrap() -> Callable[[], None]:
    """Put a producer span around every publish of this process; return how to undo it."""
    tracer = trace.get_tracer(catalogue.SCOPE)

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send_task(app: celery.Celery, /, name: str, *args: Any, **kwargs: Any) -> Any:
            if not is_instrumentation_enabled():
                return original(app, name, *args, **kwargs)
            with _span(tracer, app, name):
                return original(app, name, *args, **kwargs)

        return send_task

    return replace(celery.Celery, "send_task", around)


def wrap_retry() -> Callable[[], None]:
    """Remember why a task asks for a retry, while that is published; return how to undo it."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def retry(task: Any, /, *args: Any, **kwargs: Any) -> Any:
            token = None
            with guard.absorb("celery retry"):
                error = args[_EXC] if len(args) > _EXC else kwargs.get("exc")
                error = error if isinstance(error, BaseException) else sys.exception()
                told = None if error is None else reason(error)
                token = context_api.attach(context_api.set_value(_ASKED, told))
            try:
                return original(task, *args, **kwargs)
            finally:
                if token is not None:
                    context_api.detach(token)

        return retry

    return replace(celery.Task, "retry", around)


@contextmanager
def _span(tracer: trace.Tracer, app: Any, task: str) -> Iterator[None]:
    """Make a producer span current; restore what was current before, also after an error."""
    span: Span = INVALID_SPAN
    token = None
    with guard.absorb("celery publish"):
        by = trace.get_current_span().get_span_context()
        span = tracer.start_span(
            PUBLISH_SPAN.name.replace(f"{{{TASK_NAME}}}", task),
            kind=SpanKind.PRODUCER,
            attributes={
                catalogue.MESSAGING_SYSTEM: "celery",
                catalogue.MESSAGING_OPERATION_TYPE: "send",
                catalogue.MESSAGING_OPERATION_NAME: "apply_async",
                catalogue.TASK_NAME: values.text(task),
            },
        )
        token = context_api.attach(_context_of(Publish(app, span, by)))
    try:
        yield
    except BaseException as error:
        with guard.absorb("celery publish"):
            tracing.record_exception(span, error)
        raise
    finally:
        with guard.absorb("celery publish"):
            if token is not None:
                context_api.detach(token)
            span.end()


def _context_of(publish: Publish) -> Context:
    return context_api.set_value(_PUBLISH, publish, trace.set_span_in_context(publish.span))
