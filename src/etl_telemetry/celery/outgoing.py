"""What a message takes along: trace context, run, and the message header.

A retry is a sibling of the delivery that asked for it, not a child: its span has the same
parent, and a link to the delivery before. So a task that is retried a hundred times is a
hundred spans side by side. Where the first delivery has no parent (a publisher without
telemetry, outside of any run), it stands in for it: its retries are its children.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan

from etl_telemetry import catalogue, guard, pipelines, values
from etl_telemetry.catalogue import MESSAGE_HEADER
from etl_telemetry.celery import actors, canvas, here, redelivery, runs, waits
from etl_telemetry.celery.here import Here
from etl_telemetry.celery.links import Policy
from etl_telemetry.celery.message import Chord, Message
from etl_telemetry.celery.publish import Publish, retry_reason, under_way
from etl_telemetry.config import Config
from etl_telemetry.runtime import propagation

Headers = MutableMapping[str, Any]


class Outgoing:
    """Write into each message what its worker needs to know."""

    def __init__(self, config: Config) -> None:
        self._policy = Policy(config)

    def before_publish(
        self,
        *,
        headers: Headers,
        body: object = None,
        routing_key: str | None = None,
        properties: Any = None,
        **_: object,
    ) -> None:
        """Write the headers (signal `before_task_publish`)."""
        with guard.absorb("celery publish actor"):
            # Also where instrumentation is suppressed: who acts is no telemetry.
            actors.write(headers)
        with guard.absorb("celery publish"):
            # What must not leave, whatever follows: what the worker wrote at the receipt, which
            # Celery copies to a retry, and what the publish of a chord told its body.
            headers.pop(waits.RECEIVED, None)
            headers.pop(redelivery.BEFORE, None)
            chord = canvas.take_chord(headers, body)
            if not is_instrumentation_enabled():
                return
            publish, delivery = under_way(), here.current()
            context = propagation.to_named_place()
            if delivery is not None and delivery.is_retried_by(
                headers.get("id"), headers.get("retries")
            ):
                message = _retry(publish, delivery, headers)
                context = trace.set_span_in_context(NonRecordingSpan(delivery.parent), context)
            else:
                message = self._first(publish, delivery, headers, _embedded(body, "chord"), chord)
            if publish is not None and publish.span.is_recording():
                told = _attributes(headers, message, routing_key, properties, body)
                publish.span.set_attributes(values.attributes(told))
            if isinstance(properties, MutableMapping):
                # AMQP's own, in seconds: RabbitMQ tells that of the first message of a queue.
                properties.setdefault("timestamp", int(time.time()))
            propagate.inject(headers, context=context)
            runs.write(headers)
            headers[MESSAGE_HEADER] = message.to_header(
                str(headers.get("id")), headers.get("retries") or 0
            )

    def _first(
        self,
        publish: Publish | None,
        delivery: Here | None,
        headers: Headers,
        in_chord: object,
        chord: Chord | None,
    ) -> Message:
        now = time.time_ns()
        link = None
        if pipelines.current_run() is None:
            link = self._policy.reason(
                headers,
                wait_ns=_wait_ns(publish, headers, now),
                span=INVALID_SPAN_CONTEXT if publish is None else publish.by,
                keep=in_chord is not None,
            )
        kind = canvas.published_kind(headers, delivery, is_body=chord is not None)
        return Message(published_ns=now, link=link, kind=kind, chord=chord)


def _retry(publish: Publish | None, delivery: Here, headers: Headers) -> Message:
    now = time.time_ns()
    before = Message.of(delivery.request)
    return Message(
        published_ns=now,
        previous=delivery.span,
        reason=retry_reason(),
        wait=_wait_ns(publish, headers, now) / 1e9,
        kind=before.kind,
    )


def _wait_ns(publish: Publish | None, headers: Headers, now: int) -> int:
    """Return how far away the ETA of a message is; 0 where it has none."""
    if publish is None or headers.get("eta") is None:
        return 0
    due = waits.moment(headers["eta"], publish.app.timezone)
    return 0 if due is None else max(0, due - now)


def _embedded(body: object, what: str) -> object:
    """Return what Celery embeds in the body of a message: `chain`, `chord`, callbacks."""
    match body:
        case (_, _, {**embedded}):
            return embedded.get(what)
    return None


def _attributes(
    headers: Headers, message: Message, routing_key: str | None, properties: Any, body: object
) -> dict[str, object]:
    kind = canvas.kind(
        str(headers.get("task")),
        message.kind,
        chord=_embedded(body, "chord"),
        chain=_embedded(body, "chain"),
        group=headers.get("group"),
    )
    return {
        catalogue.MESSAGING_MESSAGE_ID: headers.get("id"),
        catalogue.MESSAGING_DESTINATION_NAME: routing_key or None,
        catalogue.TASK_RETRY_NUMBER: headers.get("retries") or None,
        catalogue.TASK_ETA: headers.get("eta"),
        catalogue.TASK_PRIORITY: (properties or {}).get("priority"),
        catalogue.TASK_LINK_REASON: message.link,
        **canvas.ids_of(headers, kind),
    }
