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
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import celery
from opentelemetry import context as context_api
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from etl_telemetry import catalogue, guard, tracing, values
from etl_telemetry.celery import actors, runs
from etl_telemetry.runtime import propagation

_SPAN = context_api.create_key("etl_telemetry-publish-span")


def wrap() -> Callable[[], None]:
    """Put a producer span around every publish of this process; return how to undo it."""
    target: Any = celery.Celery
    original = target.send_task
    tracer = trace.get_tracer(catalogue.SCOPE)

    @functools.wraps(original)
    def send_task(app: celery.Celery, name: str, *args: Any, **kwargs: Any) -> Any:
        if not is_instrumentation_enabled():
            return original(app, name, *args, **kwargs)
        with _span(tracer, name):
            return original(app, name, *args, **kwargs)

    target.send_task = send_task

    def undo() -> None:
        if target.send_task is send_task:
            target.send_task = original

    return undo


def before_publish(
    *, sender: str, headers: MutableMapping[str, Any], routing_key: str | None = None, **_: object
) -> None:
    """Write trace context, run and actor into the message (signal `before_task_publish`)."""
    with guard.absorb("celery publish actor"):
        # Also where instrumentation is suppressed: who acts is no telemetry.
        actors.write(headers)
    with guard.absorb("celery publish"):
        if not is_instrumentation_enabled():
            return
        span = context_api.get_value(_SPAN)
        if isinstance(span, Span) and span.is_recording():
            span.set_attributes(
                values.attributes(
                    {
                        catalogue.MESSAGING_MESSAGE_ID: headers.get("id"),
                        catalogue.MESSAGING_DESTINATION_NAME: routing_key or None,
                    }
                )
            )
        propagate.inject(headers, context=propagation.to_named_place())
        runs.write(headers)


@contextmanager
def _span(tracer: trace.Tracer, task: str) -> Iterator[None]:
    """Make a producer span current; restore what was current before, also after an error."""
    span: Span = INVALID_SPAN
    token = None
    with guard.absorb("celery publish"):
        span = tracer.start_span(
            f"apply_async/{task}",
            kind=SpanKind.PRODUCER,
            attributes={
                catalogue.MESSAGING_SYSTEM: "celery",
                catalogue.MESSAGING_OPERATION_TYPE: "send",
                catalogue.MESSAGING_OPERATION_NAME: "apply_async",
                catalogue.TASK_NAME: values.text(task),
            },
        )
        token = context_api.attach(_context_of(span))
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


def _context_of(span: Span) -> Context:
    return context_api.set_value(_SPAN, span, trace.set_span_in_context(span))
