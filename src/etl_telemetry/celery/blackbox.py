"""The black box: what a delivery leaves behind that could not tell its own end.

A child that is killed (SIGKILL, the OOM killer, the hard time limit) or that exits within a
task says nothing. Its parent knows by the mark "begun" what it was doing, sees it end, and
reports the delivery once: its span, a log event, a count. Whoever reports an end first wins;
what Celery says some seconds later (`WorkerLostError`) comes to a delivery that is closed.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from etl_telemetry import catalogue, guard, metrics, tracing
from etl_telemetry.catalogue import TaskStatus
from etl_telemetry.celery import marks
from etl_telemetry.celery.marks import Begun
from etl_telemetry.celery.tasks import Subject
from etl_telemetry.logs import log_context
from etl_telemetry.pipelines import Run
from etl_telemetry.runtime.relay import decode
from etl_telemetry.runtime.relay.decode import RelayedSpan
from etl_telemetry.runtime.relay.relay import Decode

GRACE = 0.5
"""Seconds after the end of a child in which Celery may tell why it has ended it."""
TOLD = 8.0
"""Seconds after the end of a child in which Celery tells how, where it has reaped it first.

It does so while it looks for a child that can take a message (`asynpool`, `_is_alive`), and notices
the end itself when it looks after its children the next time, every 5 s.
"""
_SOON = 0.1
_FRESH = 60.0
_MAX = 1_000
_log = logging.getLogger("etl_telemetry.celery")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a delivery has ended, as its worker's main process knows it."""

    status: TaskStatus
    """`lost`, or `revoked`: that one is counted where it is revoked."""
    error_type: str
    """For `error.type`."""
    text: str
    """A sentence for people."""
    at: float
    """When it became known (`time.monotonic()`)."""


@dataclass(slots=True)
class _Open:
    """A delivery that has begun and has not ended."""

    begun: Begun
    pid: int
    since: float
    span: RelayedSpan | None
    """Its span as it was at the begin, or as it ended without the delivery's end."""
    has_ended: bool = False
    """Whether the span is the ended one."""
    due: float | None = None
    """When it is judged (`time.monotonic()`); None while its process lives."""
    exit: int | None = None
    """How its process ended."""


class BlackBox:
    """Follow the deliveries of a worker's children (`runtime.relay.relay.Watcher`)."""

    def __init__(self, export: Callable[[Any], None]) -> None:
        """`export` takes the spans of deliveries that were lost."""
        self._export = export
        self._open: dict[str, _Open] = {}
        self._causes: dict[str, Cause] = {}
        self._exits: dict[int, tuple[int, int]] = {}
        """Exit code, and when it was told in Unix nanoseconds, by process id."""
        self._lost: dict[tuple[str, int], SpanContext] = {}
        """Spans of the last deliveries that were judged, by task and retry."""

    # --- What the main process learns from Celery, on its own threads ---

    def revoked(self, task_id: str) -> None:
        """Take note that a task is terminated because it was revoked."""
        kind = tracing.type_name(Terminated)
        self._note(task_id, TaskStatus.REVOKED, kind, "it was revoked")

    def failed(self, task_id: str, error: BaseException | None) -> None:
        """Take note of a failure that the main process reports: a hard time limit."""
        if isinstance(error, TimeLimitExceeded):
            kind = tracing.type_name(TimeLimitExceeded)
            self._note(task_id, TaskStatus.LOST, kind, "it ran into its hard time limit")

    def exited(self, pid: int, code: int | None) -> None:
        """Take note how a child has ended, where Celery has reaped it first."""
        if code is not None:
            self._exits[pid] = code, time.time_ns()
            _bound(self._exits)

    def before(self, task_id: str, retries: int) -> SpanContext | None:
        """Return the last delivery of a message that has not told its end, for a redelivery."""
        key = (task_id, retries)
        still = [one.begun for one in list(self._open.values()) if one.begun.message == key]
        return still[-1].context if still else self._lost.get(key)

    def _note(self, task_id: str, status: TaskStatus, kind: str, text: str) -> None:
        now = time.monotonic()
        self._causes[task_id] = Cause(status, kind, text, now)
        for old in [key for key, cause in list(self._causes.items()) if now - cause.at > _FRESH]:
            self._causes.pop(old, None)

    # --- What the relay learns from the children, on its thread ---

    def mark(self, pid: int, mark: bytes, decoded: Decode) -> None:
        """Take the begin or the end of a delivery."""
        told = marks.read(mark)
        if isinstance(told, str):
            still = self._open.pop(told, None)
            if still is not None and still.has_ended and still.span is not None:
                self._export(still.span)  # It came in a message before this one.
            return
        span = decoded(told.span) if told.span else None
        _, exited_ns = self._exits.get(pid, (0, told.started_ns))
        if exited_ns < told.started_ns:
            self._exits.pop(pid, None)  # The one of another process, that had this id before.
        self._open[told.delivery] = _Open(told, pid, time.monotonic(), span)

    def spans(self, pid: int, spans: list[RelayedSpan]) -> list[RelayedSpan]:
        """Return the spans that are through; keep one whose delivery has not told its end."""
        through = []
        for span in spans:
            context = span.context
            still = None if context is None else self._open.get(f"{context.span_id:016x}")
            if still is None:
                through.append(span)
            else:
                still.span, still.has_ended = span, True
        return through

    def ended(self, pid: int, status: int | None) -> None:
        """Give Celery a moment to tell why a child has ended that was within a delivery."""
        for still in self._open.values():
            if still.pid == pid and still.due is None:
                still.due, still.exit = time.monotonic() + GRACE, status

    def tick(self) -> float | None:
        """Report what is due."""
        now = time.monotonic()
        left = []
        for still in list(self._open.values()):
            if still.due is None:
                continue
            if still.due > now:
                left.append(still.due - now)
            elif self._is_known(still) or still.due + TOLD <= now:
                self._judge(still)
            else:
                left.append(_SOON)
        return min(left, default=None)

    def close(self) -> None:
        """Report all that is open: the worker ends, and its children with it."""
        for still in list(self._open.values()):
            self._judge(still)

    def _is_known(self, still: _Open) -> bool:
        """Tell whether it is known why or how the process of a delivery has ended."""
        return (
            still.exit is not None
            or still.pid in self._exits
            or self._known_cause(still) is not None
        )

    def _judge(self, still: _Open) -> None:
        if self._open.pop(still.begun.delivery, None) is None:
            return
        with guard.absorb("reporting a lost delivery"):
            if still.begun.context is not None:
                self._lost[still.begun.message] = still.begun.context
                _bound(self._lost)
            cause = self._cause(still)
            ended_ns = time.time_ns()
            if still.due is not None:
                ended_ns -= int((time.monotonic() - still.due + GRACE) * 1e9)
            if still.span is not None:
                self._export(
                    decode.closed(
                        still.span,
                        attributes=_attributes(still.begun, cause),
                        error=cause.text,
                        end_ns=ended_ns,
                    )
                )
            if cause.status is TaskStatus.LOST:
                _report(still.begun, cause, max(0, ended_ns - still.begun.started_ns) / 1e9)

    def _cause(self, still: _Open) -> Cause:
        known = self._known_cause(still)
        self._causes.pop(still.begun.task_id, None)
        if known is not None:
            return known
        code = still.exit
        if code is None:
            code, _ = self._exits.pop(still.pid, (None, 0))
        kind = tracing.type_name(WorkerLostError)
        return Cause(TaskStatus.LOST, kind, _how(code), time.monotonic())

    def _known_cause(self, still: _Open) -> Cause | None:
        known = self._causes.get(still.begun.task_id)
        if known is None or known.at < still.since - GRACE:
            return None  # An older one belongs to another delivery of the task.
        return known


def _bound(known: dict[Any, Any]) -> None:
    """Forget the oldest."""
    while len(known) > _MAX:
        known.pop(next(iter(known)))


def _how(code: int | None) -> str:
    if code is None:
        return "its process has ended"
    if code < 0:
        name = next((s.name for s in signal.Signals if s == -code), "unknown")
        return f"its process was killed by signal {-code} ({name})"
    return f"its process has exited with code {code}"


def _subject(begun: Begun) -> Subject:
    run = None if begun.run is None else Run.from_header(begun.run)
    return Subject(begun.task_id, begun.name, begun.type, run, begun.pipeline)


def _report(begun: Begun, cause: Cause, duration: float) -> None:
    """Count a lost delivery, and log it within its trace."""
    metrics.record_task_execution(begun.type, begun.pipeline, TaskStatus.LOST, duration)
    context = Context()
    if begun.context is not None:
        context = trace.set_span_in_context(NonRecordingSpan(begun.context), context)
    token = context_api.attach(context)
    try:
        with log_context(**_subject(begun).fields()):
            _log.error(
                "task_lost",
                extra={
                    catalogue.TASK_STATUS: TaskStatus.LOST.value,
                    catalogue.TASK_DURATION: duration,
                    catalogue.ERROR_TYPE: cause.error_type,
                    catalogue.EXCEPTION_MESSAGE: cause.text,
                },
            )
    finally:
        context_api.detach(token)


def _attributes(begun: Begun, cause: Cause) -> dict[str, object]:
    """Return what is told of a delivery on the span that its process could not end."""
    more = {
        **_subject(begun).fields(),
        catalogue.TASK_STATUS: cause.status.value,
        catalogue.ERROR_TYPE: cause.error_type,
        catalogue.QUEUE_NAME: begun.queue,
        catalogue.WORKER_NAME: begun.worker,
    }
    return {key: value for key, value in more.items() if value is not None}
