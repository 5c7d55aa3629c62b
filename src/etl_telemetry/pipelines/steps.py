"""What happens inside of a run: its steps, and the operations of connectors."""

from __future__ import annotations

import logging
import threading
from time import monotonic, perf_counter
from types import TracebackType
from typing import Self
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from etl_telemetry import audit, guard, metrics, queries, tracing
from etl_telemetry.catalogue import (
    CONNECTOR_OPERATION,
    CONNECTOR_SPAN,
    CONNECTOR_STATUS,
    CONNECTOR_TYPE,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    ROWS_PROCESSED,
    ROWS_READ,
    ROWS_REJECTED,
    ROWS_SKIPPED,
    STEP_SPAN,
    STEP_TYPE,
    UNKNOWN,
    ConnectorStatus,
)
from etl_telemetry.logs import log_context
from etl_telemetry.metrics.record import MAX_ROWS, rows
from etl_telemetry.pipelines import inputs, progress
from etl_telemetry.pipelines.progress import Progress
from etl_telemetry.pipelines.run import current_run
from etl_telemetry.queries import Tally

_log = logging.getLogger("etl_telemetry.pipelines")

_ROWS = {
    "read": ROWS_READ,
    "processed": ROWS_PROCESSED,
    "rejected": ROWS_REJECTED,
    "skipped": ROWS_SKIPPED,
}


def step(type: str, *, rows_total: int | None = None) -> Step:
    """Measure one step of the current run: `extract`, `transform`, `load` or any other.

    >>> with step("extract", rows_total=10) as s:
    ...     s.add_rows(read=10, written=8, rejected=2)

    The rows are counted when the block ends without an exception. A step that
    failed has them on its span only, since the retry does them again. Works also
    outside of a run: then the pipeline is ``unknown``.

    While it runs, a step that tells how far it is (`rows_total`, `add_rows`,
    `heartbeat`) is reported: rows done, rows expected, seconds since its last sign
    of life.
    """
    return Step(type, rows_total=rows_total)


def connector_operation(
    type: str, operation: str, *, credentials: str | int | UUID | None = None
) -> ConnectorOperation:
    """Measure one operation of a connector: a span, a count by status, the duration.

    It ends as `success`, or as `error` where an exception leaves the block.
    `credentials` is the id of the connector whose credentials it uses: that is an audit event,
    `connector_credentials_used`, before the block begins. Raises `AuditError` then, and only
    then, where the event cannot be written: the credentials must not be used unaudited.

    >>> with connector_operation("http", "fetch_page"):
    ...     pass
    """
    return ConnectorOperation(type, operation, credentials)


class Step:
    """One step of a run, while its block runs; see `step`."""

    __slots__ = (
        "_block", "_facts", "_fields", "_lock", "_progress", "_rows", "_rows_total", "_span",
        "_type",
    )  # fmt: skip

    def __init__(self, type: object, *, rows_total: object = None) -> None:
        self._rows_total = None if rows_total is None else rows(rows_total, word="expected")
        self._progress: Progress | None = None
        self._type = metrics.label(type, attribute=STEP_TYPE)
        self._rows: dict[str, int] = {}
        # Threads of the application may share the step.
        self._lock = threading.Lock()
        self._fields = log_context(**{STEP_TYPE: self._type})
        # Made once: where the object is entered again before its end, each entry is ended.
        self._block = tracing.span(
            STEP_SPAN.name.replace(f"{{{STEP_TYPE}}}", self._type),
            attributes={STEP_TYPE: self._type},
        )
        self._span: Span = INVALID_SPAN
        self._facts = {PIPELINE_NAME: UNKNOWN}

    def add_rows(
        self,
        *,
        read: int | None = None,
        processed: int | None = None,
        rejected: int | None = None,
        skipped: int | None = None,
        written: int | None = None,
    ) -> None:
        """Add rows: taken in, put out, refused as wrong, left out on purpose.

        read = processed + rejected + skipped, checked at the end of the step where
        `read` was given. `written` is another word for `processed`. A number that
        is not a whole one from 0 to 10**12 is left out and counted as a mistake.
        """
        if written is not None:
            if processed is not None:
                inputs.invalid("written is another word for processed: it was left out")
            else:
                processed = written
        given = {"read": read, "processed": processed, "rejected": rejected, "skipped": skipped}
        for word, value in given.items():
            if value is not None:
                self._add(word, value)
        self.heartbeat()

    def heartbeat(self) -> None:
        """Say that the step is alive: call it now and then in a long one.

        `step.heartbeat.age` tells how many seconds ago that was, so that an alert finds
        a step that hangs. `add_rows` says it too.
        """
        told = self._progress
        if told is not None:  # Hot path: some call it for every row.
            told.beat = monotonic()
        elif self._span is not INVALID_SPAN:
            self._report()

    def expect_rows(self, total: int) -> None:
        """Say how many rows there will be, where that is known after the begin only."""
        self._rows_total = rows(total, word="expected")
        self.heartbeat()
        if self._progress is not None:
            self._progress.total = self._rows_total

    def __enter__(self) -> Self:
        self._rows = {}
        with guard.absorb("entering a step"):
            self._facts = _run_facts(with_organization=True)
            self._span = self._block.__enter__()
            self._span.set_attributes(self._facts)
            if self._span.is_recording():
                Tally(self, outer=queries.current()).__enter__()
        self._fields.__enter__()
        if self._rows_total is not None:
            self._report()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with guard.absorb("leaving a step"):
                if self._progress is not None:
                    progress.end(self._progress)
                    self._progress = None
                rows_now = dict(self._rows)  # A thread that was left behind may still add.
                self._span.set_attributes({_ROWS[word]: n for word, n in rows_now.items()})
                tally = queries.current()
                if tally is not None and tally.owner is self:  # Not so if it ends elsewhere.
                    tally.leave()
                    trace.get_current_span().set_attributes(tally.attributes())
                # A generator that is closed before its end did what it did.
                if error is None or isinstance(error, GeneratorExit):
                    metrics.record_rows(self._facts[PIPELINE_NAME], self._type, **rows_now)
                    self._check(rows_now)
        finally:
            self._fields.__exit__(None, None, None)
            with guard.absorb("ending a span"):
                self._block.__exit__(error_type, error, traceback)
            self._span = INVALID_SPAN

    def _report(self) -> None:
        """Report from now on how far the step is."""
        with guard.absorb("reporting a step"):
            told = Progress(self._facts[PIPELINE_NAME], self._type, self._rows)
            told.total = self._rows_total
            progress.begin(told)
            self._progress = told

    def _add(self, word: str, value: object) -> None:
        # Hot path: some call it for every row.
        if type(value) is int and 0 <= value <= MAX_ROWS:
            number: int | None = value
        else:
            number = rows(value, word=word)
        if number is None:
            return
        with self._lock:
            total = self._rows.get(word, 0) + number
            if total <= MAX_ROWS:
                self._rows[word] = total
                return
        inputs.invalid(f"a step has at most 10**12 {word} rows: more were left out")

    def _check(self, rows_now: dict[str, int]) -> None:
        """Warn where rows went missing between in and out."""
        others = sum(n for word, n in rows_now.items() if word != "read")
        if rows_now.get("read", others) != others:
            counts = {_ROWS[word]: n for word, n in rows_now.items()}
            fields = {STEP_TYPE: self._type, **self._facts, **counts}
            _log.warning("rows_mismatch", extra=fields)


class ConnectorOperation:
    """One operation of a connector, while its block runs; see `connector_operation`."""

    __slots__ = ("_block", "_credentials", "_operation", "_span", "_started", "_status", "_type")

    def __init__(self, type: object, operation: object, credentials: object = None) -> None:
        self._credentials = credentials
        self._type = metrics.label(type, attribute=CONNECTOR_TYPE)
        self._operation = metrics.label(operation, attribute=CONNECTOR_OPERATION)
        self._status = ConnectorStatus.SUCCESS.value
        self._block = tracing.span(
            CONNECTOR_SPAN.name.replace(f"{{{CONNECTOR_OPERATION}}}", self._operation),
            attributes={CONNECTOR_TYPE: self._type, CONNECTOR_OPERATION: self._operation},
        )
        self._span: Span = INVALID_SPAN
        self._started = 0.0

    def set_status(self, status: ConnectorStatus | str) -> None:
        """Say how it ends, where no exception tells: `error` for a refused request."""
        self._status = metrics.status_of(status, ConnectorStatus)

    def __enter__(self) -> Self:
        if self._credentials is not None:
            audit.record(
                "connector_credentials_used",
                resource={"type": "connector", "id": self._credentials},
                details={"connector_type": self._type, "operation": self._operation},
            )
        self._status = ConnectorStatus.SUCCESS.value
        with guard.absorb("entering a connector operation"):
            self._span = self._block.__enter__()
            self._span.set_attributes(_run_facts(with_organization=False))
        self._started = perf_counter()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration = perf_counter() - self._started
        if error is not None and not isinstance(error, GeneratorExit):
            self._status = ConnectorStatus.ERROR.value
        try:
            with guard.absorb("leaving a connector operation"):
                self._span.set_attribute(CONNECTOR_STATUS, self._status)
                metrics.record_connector_operation(
                    self._type, self._operation, self._status, duration
                )
        finally:
            with guard.absorb("ending a span"):
                self._block.__exit__(error_type, error, traceback)
            self._span = INVALID_SPAN


def _run_facts(*, with_organization: bool) -> dict[str, str]:
    """Return the attributes that name the current run; outside of any, the pipeline is unknown."""
    run = current_run()
    if run is None:
        return {PIPELINE_NAME: UNKNOWN}
    facts = {PIPELINE_NAME: run.name, PIPELINE_RUN_ID: run.id}
    if with_organization:
        facts[PIPELINE_ORGANIZATION] = run.organization
    return facts
