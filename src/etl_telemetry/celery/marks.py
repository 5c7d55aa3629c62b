"""What a child tells the relay about a delivery: that it has begun, and that it has ended."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry import pipelines, values
from etl_telemetry.celery.tasks import Subject, TaskTypes
from etl_telemetry.runtime.relay.relay import Relay

_BEGUN = b"B"
_ENDED = b"E"


@dataclass(frozen=True, slots=True)
class Begun:
    """A delivery that has begun, as far as is needed to report its end without it."""

    delivery: str
    """Which delivery: the id of its span, or any other that is its own."""
    task_id: str
    """Celery's task id, the same for all deliveries and retries."""
    name: str
    """Name of the task."""
    type: str
    """Its type by `Config.task_types`."""
    pipeline: str
    """Pipeline that it belongs to."""
    run: str | None
    """Header of its run, if it has one."""
    started_ns: int
    """Begin, in Unix nanoseconds."""
    trace_id: str
    """Trace of its span; empty where there is none."""
    sampled: bool
    """Whether its span is exported."""
    retries: int
    """How often the task has been retried before."""
    queue: str | None
    """Queue that it came from."""
    worker: str | None
    """Name of the worker."""
    span: bytes = b""
    """Its span as it was at the begin: OTLP."""

    @classmethod
    def of(cls, task: Any, *, types: TaskTypes, relay: Relay) -> Begun:
        """Gather it within the span of the delivery, where Celery sends `task_prerun`."""
        request, run = task.request, pipelines.current_run()
        subject = Subject.of(request, name=task.name, types=types, run=run)
        span = trace.get_current_span()
        context = span.get_span_context()
        info = getattr(request, "delivery_info", None) or {}
        return cls(
            delivery=f"{context.span_id:016x}" if context.is_valid else os.urandom(8).hex(),
            task_id=subject.id,
            name=subject.name,
            type=subject.type,
            pipeline=subject.pipeline,
            run=None if run is None else run.to_header(),
            started_ns=time.time_ns(),
            trace_id=f"{context.trace_id:032x}" if context.is_valid else "",
            sampled=context.trace_flags.sampled,
            retries=values.count(getattr(request, "retries", 0)) or 0,
            queue=_text(info.get("routing_key")),
            worker=_text(getattr(request, "hostname", None)),
            span=relay.encoded(span),
        )

    @property
    def message(self) -> tuple[str, int]:
        """Which message it is a delivery of."""
        return self.task_id, self.retries

    @property
    def context(self) -> SpanContext | None:
        """Its span; None where there is none."""
        if not self.trace_id:
            return None
        flags = TraceFlags(TraceFlags.SAMPLED if self.sampled else TraceFlags.DEFAULT)
        ids = int(self.trace_id, 16), int(self.delivery, 16)
        return SpanContext(*ids, is_remote=False, trace_flags=flags)

    def to_mark(self) -> bytes:
        """Return it as a mark."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "span"
        }
        return _BEGUN + json.dumps(fields).encode() + b"\n" + self.span


def ended(delivery: str) -> bytes:
    """Return the mark that a delivery has ended, and has told how."""
    return _ENDED + delivery.encode()


def read(mark: bytes) -> Begun | str:
    """Return what was marked: a delivery that has begun, or the id of one that has ended.

    Raises `ValueError` or `TypeError` where it is something else.
    """
    if mark.startswith(_ENDED):
        return mark[1:].decode()
    if not mark.startswith(_BEGUN):
        raise ValueError("a mark of the relay must begin with B or E")
    text, _, span = mark[1:].partition(b"\n")
    return Begun(**json.loads(text), span=span)


def _text(value: object) -> str | None:
    return values.text(value, limit=200) if isinstance(value, str) and value else None
