"""One delivery of a task: its log context, its outcome, its log events, its count.

Everything about a delivery hangs on the request object that Celery makes for it,
so nothing is shared between deliveries, threads or processes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from time import perf_counter
from types import MappingProxyType
from typing import Any

from billiard import current_process
from celery.exceptions import Reject
from opentelemetry import trace

from etl_telemetry import catalogue, metrics, queries, tracing, values
from etl_telemetry.catalogue import TaskStatus
from etl_telemetry.celery.outcomes import killed, message, outcome, reason
from etl_telemetry.logs import log_context
from etl_telemetry.pipelines import Run

_log = logging.getLogger("etl_telemetry.celery")

_EVENT = {
    TaskStatus.SUCCESS: ("task_completed", logging.INFO),
    TaskStatus.FAILED: ("task_failed", logging.ERROR),
    TaskStatus.RETRIED: ("task_retried", logging.WARNING),
    TaskStatus.LOST: ("task_lost", logging.ERROR),
}
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


class TaskTypes:
    """Tell the type of a task by its name, looked up once per name."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = tuple((pattern.lower(), type_) for pattern, type_ in patterns.items())
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return the type of the first pattern that matches, else ``other``.

        >>> types = TaskTypes({"shop.load_*": "load", "*extract*": "extract"})
        >>> types["shop.tasks.Extract_orders"], types["shop.load_all"], types["my.shop.load_all"]
        ('extract', 'load', 'other')
        """
        found = self._known.get(name)
        if found is None:  # Bounded by the number of tasks that the application registers.
            low = name.lower()
            found = next(
                (type_ for pattern, type_ in self._patterns if fnmatchcase(low, pattern)),
                catalogue.OTHER,
            )
            self._known[name] = found
        return found


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a task before it runs."""

    id: str
    """Celery's task id, the same for all deliveries and retries."""
    name: str
    """Name of the task."""
    type: str
    """Its type by `Config.task_types`."""
    run: Run | None
    """The run that it is part of."""
    pipeline: str
    """The pipeline: of its run, else of its argument `pipeline_name`, else `unknown`."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    """Fields of those arguments that the user allows (`Config.task_arguments`)."""

    @classmethod
    def of(
        cls,
        request: Any,
        *,
        name: str,
        types: TaskTypes,
        run: Run | None,
        arguments: Mapping[str, object] = MappingProxyType({}),
    ) -> Subject:
        """Gather it from a request of Celery."""
        named = (getattr(request, "kwargs", None) or {}).get("pipeline_name")
        told = "" if named is None else values.text(named)
        return cls(
            id=str(getattr(request, "id", None) or catalogue.UNKNOWN),
            name=name,
            type=types[name],
            run=run,
            pipeline=(told if run is None else run.name) or catalogue.UNKNOWN,
            arguments=arguments,
        )

    def fields(self) -> dict[str, object]:
        """Return the fields of its log records; of its arguments only those that are allowed."""
        fields: dict[str, object] = {
            catalogue.TASK_ID: self.id,
            catalogue.TASK_NAME: self.name,
            catalogue.TASK_TYPE: self.type,
            **self.arguments,
        }
        if self.run is not None:
            fields[catalogue.PIPELINE_NAME] = self.run.name
            fields[catalogue.PIPELINE_ORGANIZATION] = self.run.organization
            fields[catalogue.PIPELINE_RUN_ID] = self.run.id
        return fields


class Delivery:
    """One delivery, from its begin to its end in this process."""

    __slots__ = ("_context", "_outer_error", "_span", "_started", "_subject", "_tally")

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        # An eager task may run inside of the application's own `except` block.
        self._outer_error = id(sys.exception())
        self._context = log_context(**subject.fields())
        self._span = trace.get_current_span()
        self._tally = queries.Tally(outer=queries.current())
        self._started = perf_counter()

    def begin(self) -> None:
        """Give every log record of the task its fields, and log that it began."""
        self._context.__enter__()
        self._tally.__enter__()
        _log.info("task_started")

    def outcome(
        self, *, state: str | None, result: object
    ) -> tuple[TaskStatus | None, BaseException | None]:
        """Return how it ended, where Celery sends `task_postrun`; None: its parent will say."""
        raised = sys.exception()
        if raised is not None and id(raised) == self._outer_error:
            raised = None
        # In a pool child an exit is the parent's to report: it sees every kind of end.
        if raised is None or isinstance(raised, Exception) or not _in_pool_child():
            return killed(raised, self._subject.id) or outcome(state, result, raised)
        return None, raised

    def end(
        self, status: TaskStatus | None, error: BaseException | None, *, result: object
    ) -> None:
        """Log and count how it ended; call it once."""
        duration = perf_counter() - self._started
        try:
            if self._span.is_recording():
                self._span.set_attributes(self._tally.attributes())
            # One that was revoked is counted where it is revoked.
            if status is not None and status is not TaskStatus.REVOKED:
                self._report(status, error, result, duration)
        finally:
            self._tally.leave()
            self._context.__exit__(None, None, None)

    def _report(
        self, status: TaskStatus, error: BaseException | None, result: object, duration: float
    ) -> None:
        metrics.record_task_execution(self._subject.type, self._subject.pipeline, status, duration)
        fields: dict[str, object] = {
            catalogue.TASK_STATUS: status.value,
            catalogue.TASK_DURATION: duration,
        }
        if status is TaskStatus.RETRIED:
            fields[catalogue.TASK_RETRY_REASON] = reason(error)
        elif error is not None:
            fields[catalogue.ERROR_TYPE] = tracing.type_name(type(error))
            fields[catalogue.EXCEPTION_MESSAGE] = message(error)
        elif isinstance(result, _SIZED):
            fields[catalogue.TASK_RESULT_SIZE] = len(result)
        event, level = _EVENT[status]
        if status is TaskStatus.FAILED and isinstance(error, Reject):
            event, level = "task_rejected", logging.WARNING
        # Only a failure is worth its traceback; a retry says its reason.
        _log.log(level, event, extra=fields, exc_info=error if level == logging.ERROR else None)


def _in_pool_child() -> bool:
    return bool(current_process().name != "MainProcess")


def revoked(subject: Subject) -> None:
    """Log and count a task that was revoked, has expired, or was terminated."""
    metrics.record_task_execution(subject.type, subject.pipeline, TaskStatus.REVOKED)
    with log_context(**subject.fields()):
        _log.warning("task_revoked", extra={catalogue.TASK_STATUS: TaskStatus.REVOKED.value})
