"""The span of one delivery: where it belongs, what it tells, how it ends."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, SpanKind

from etl_telemetry import catalogue, tracing, values
from etl_telemetry.catalogue import DELIVERY_SPAN, TASK_NAME, TaskStatus
from etl_telemetry.celery import canvas, here, redelivery, waits
from etl_telemetry.celery.here import Here
from etl_telemetry.celery.message import Message
from etl_telemetry.celery.tasks import Subject
from etl_telemetry.celery.waits import Times, Waits
from etl_telemetry.pipelines import Run
from etl_telemetry.runtime import ids
from etl_telemetry.runtime.sampling import decided


class DeliverySpan:
    """The span of one delivery, current from `begin` to `end`."""

    __slots__ = ("_span", "_task", "_token", "_tracer")

    def __init__(self, tracer: trace.Tracer, task: Any) -> None:
        self._tracer = tracer
        self._task = task
        self._span: Span = INVALID_SPAN
        self._token: Any = None

    def begin(
        self, request: Any, subject: Subject, message: Message, waited: Waits, run: Run | None
    ) -> None:
        """Start the span and make it current."""
        if not is_instrumentation_enabled():
            return
        started_in, goes_on_in, links = _place(request, message, run)
        with ids.next_span_id(canvas.span_id(request)):
            self._span = self._tracer.start_span(
                DELIVERY_SPAN.name.replace(f"{{{TASK_NAME}}}", subject.name),
                context=started_in,
                kind=SpanKind.CONSUMER,
                links=links,
            )
        context = self._span.get_span_context()
        if self._span.is_recording():
            told = _attributes(self._task.app, request, subject, message, waited)
            self._span.set_attributes(values.attributes(told))
        parent = trace.get_current_span(started_in).get_span_context()
        ours = Here(subject.name, request, context, parent if parent.is_valid else context)
        goes_on_in = trace.set_span_in_context(self._span, goes_on_in)
        self._token = context_api.attach(here.set_in(goes_on_in, ours))

    def end(self, status: TaskStatus | None, error: BaseException | None) -> None:
        """End the span; what was current before is so again."""
        try:
            if self._span.is_recording():
                self._tell_outcome(status, error)
        finally:
            if self._token is not None:
                context_api.detach(self._token)
            self._span.end()

    def _tell_outcome(self, status: TaskStatus | None, error: BaseException | None) -> None:
        if status is not None:
            self._span.set_attribute(catalogue.TASK_STATUS, status.value)
        if error is None:
            return
        if status is TaskStatus.RETRIED:
            cause = getattr(error, "exc", None)
            if isinstance(cause, BaseException):
                kind = tracing.type_name(type(cause))
                self._span.set_attribute(catalogue.ERROR_TYPE, values.text(kind))
        elif isinstance(error, self._task.throws or ()):
            # The task says itself that it may end so: no error of the trace.
            kind = tracing.type_name(type(error))
            self._span.set_attribute(catalogue.ERROR_TYPE, values.text(kind))
        else:
            tracing.record_exception(self._span, error)


def context_of(request: Any) -> Context:
    """Return the context of the publish, as the headers of the message carry it."""
    carrier = {name: getattr(request, name, None) for name in propagate.get_global_textmap().fields}
    told = {name: value for name, value in carrier.items() if isinstance(value, str)}
    return propagate.extract(told, Context())


def wait_of(task: Any, request: Any, message: Message, now_ns: int) -> Waits:
    """Return how long the message of a delivery has waited, and for what."""
    received, _ = waits.received(request)
    again = (request.delivery_info or {}).get("redelivered")
    times = Times(
        # The broker hands it out once more: since the publish it did not only wait.
        published=None if again else message.published_ns,
        due=waits.moment(request.eta, task.app.timezone),
        received=received,
        started=now_ns,
    )
    return waits.split(times, retry=message.previous is not None)


def queue_of(app: Any, delivery_info: Any) -> str:
    """Return the name of the queue that a message came by."""
    info = delivery_info or {}
    key = info.get("routing_key")
    exchange = info.get("exchange")
    if not exchange:  # The default exchange: the routing key is the name of the queue.
        return str(key or catalogue.UNKNOWN)
    return _bound_queue(app, str(exchange), str(key)) or str(key or catalogue.UNKNOWN)


@lru_cache(maxsize=1_024)
def _bound_queue(app: Any, exchange: str, routing_key: str) -> str | None:
    return next(
        (
            name
            for name, queue in app.amqp.queues.items()
            if (getattr(queue.exchange, "name", None), queue.routing_key) == (exchange, routing_key)
        ),
        None,
    )


def _place(
    request: Any, message: Message, run: Run | None
) -> tuple[Context, Context, tuple[Link, ...]]:
    """Return where the span starts, where the body goes on, and the links of the span."""
    if request.is_eager:  # It belongs to whoever runs it.
        current = context_api.get_current()
        return current, current, ()
    context = context_of(request)
    parent = trace.get_current_span(context).get_span_context()
    previous = (message.previous, redelivery.before(request))
    links = [Link(one) for one in previous if one is not None]
    starts = context
    if run is not None and parent.trace_id != run.span_context.trace_id:
        # A publisher without telemetry, or with one that knows no runs.
        parent = run.span_context
        starts = trace.set_span_in_context(NonRecordingSpan(parent), context)
    elif run is None and message.link is not None and parent.is_valid:
        links.insert(0, Link(parent, {catalogue.TASK_LINK_REASON: message.link}))
        context = trace.set_span_in_context(INVALID_SPAN, context)
        starts = decided(context, sampled=parent.trace_flags.sampled)
    links += _header_links(message, parent)
    return starts, context, tuple(links)


def _header_links(message: Message, parent: SpanContext) -> list[Link]:
    return canvas.header_links(message.chord, parent.trace_id, parent.trace_flags)


def _attributes(
    app: Any, request: Any, subject: Subject, message: Message, waited: Waits
) -> dict[str, object]:
    info = request.delivery_info or {}
    retries = request.retries or None
    _, pool = waits.received(request)
    facts = subject.fields()
    del facts[catalogue.TASK_ID]
    return {
        **facts,
        catalogue.MESSAGING_SYSTEM: "celery",
        catalogue.MESSAGING_OPERATION_TYPE: "process",
        catalogue.MESSAGING_OPERATION_NAME: "run",
        catalogue.MESSAGING_MESSAGE_ID: subject.id,
        catalogue.MESSAGING_DESTINATION_NAME: None
        if request.is_eager
        else queue_of(app, request.delivery_info),
        catalogue.MESSAGING_CLIENT_ID: request.hostname,
        catalogue.TASK_POOL: pool,
        catalogue.TASK_REDELIVERED: info.get("redelivered") or None,
        catalogue.TASK_PRIORITY: info.get("priority"),
        catalogue.TASK_ETA: request.eta if isinstance(request.eta, str) else None,
        catalogue.TASK_RETRY_NUMBER: retries,
        catalogue.TASK_RETRY_REASON: message.reason,
        catalogue.TASK_RETRY_WAIT: message.wait,
        catalogue.TASK_LINK_REASON: message.link if subject.run is None else None,
        **canvas.attributes(request, subject.name, message.kind),
        **waited.attributes(),
    }
