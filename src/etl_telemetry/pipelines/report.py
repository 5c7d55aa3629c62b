"""Tell the world that a run began or ended: its metrics, its span, its log and audit events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from opentelemetry.trace import Link, SpanKind

from etl_telemetry import audit, guard, metrics, redaction, tracing, values
from etl_telemetry.audit import AuditEvent
from etl_telemetry.catalogue import (
    ERROR_TYPE,
    LOG_RECORD_UID,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ATTEMPT,
    PIPELINE_RUN_ID,
    PIPELINE_RUN_TRIGGER,
    PIPELINE_RUN_TRIGGERED_BY,
    PIPELINE_STATUS,
    RUN_SPAN,
    RunStatus,
)
from etl_telemetry.pipelines.run import Run, attach, detach
from etl_telemetry.tracing.exceptions import MAX_DESCRIPTION
from etl_telemetry.tracing.settings import settings
from etl_telemetry.values import AttributeValue

_log = logging.getLogger("etl_telemetry.pipelines")

_BROKEN = frozenset({RunStatus.FAILED.value, RunStatus.LOST.value})
_UNNAMED_ERROR = "_OTHER"  # Semantic conventions: an error without a type of its own.


@dataclass(frozen=True, slots=True)
class Finish:
    """How a run ended."""

    run: Run
    """The run."""
    status: str
    """A `RunStatus` as text, or `unknown`."""
    ended_ns: int
    """True end, in Unix nanoseconds, not before the begin."""
    duration: float | None
    """Seconds; None where the begin is not known or lies after the end."""
    error: BaseException | str | None
    """What ended it, where something did."""
    attributes: dict[str, AttributeValue]
    """Attributes of the application for its span."""
    error_name: str | None = None
    """Type of the error, where another process saw the exception itself."""

    @property
    def error_type(self) -> str | None:
        """Type of the error, as spans and logs name it."""
        if self.error_name is not None:
            return self.error_name
        if isinstance(self.error, BaseException):
            return values.text(tracing.type_name(type(self.error)))
        return None if self.error is None else _UNNAMED_ERROR

    @property
    def error_text(self) -> str | None:
        """Redacted text of the error; None where the run did not break."""
        if self.status not in _BROKEN:
            return None
        if self.error is None:
            return self.status
        text = redaction.exception_text(self.error, policy=settings().policy)
        return values.text(text[:MAX_DESCRIPTION]) or self.status


def started(run: Run) -> None:
    """Log that ``run`` began."""
    with guard.absorb("logging the begin of a run"):
        _log.info("pipeline_run_started", extra=_fields(run, {PIPELINE_RUN_TRIGGER: run.trigger}))


def audit_started(run: Run) -> None:
    """Write the audit event of the begin, if there is a place for audit events."""
    _audit(lambda: _event("pipeline_execution_started", run, outcome="success", details={}))


def audit_event(finish: Finish) -> AuditEvent:
    """Return the audit event of the end; raise `AuditError` where its facts make none."""
    return _event(
        "pipeline_execution_finished",
        finish.run,
        outcome="success" if finish.status == RunStatus.SUCCESS else "failure",
        details={
            "status": finish.status,
            "duration": finish.duration,
            "error_type": finish.error_type,
        },
    )


def already_finished(run: Run) -> None:
    """Say that a second finish changed nothing."""
    with guard.absorb("logging a second finish of a run"):
        _log.debug("pipeline_run_already_finished", extra=run.log_fields())


@contextmanager
def at(run: Run) -> Iterator[None]:
    """Make a run current at its root: exemplars, records and audit events lead to its trace."""
    token = attach(run, at_root=True)
    try:
        yield
    finally:
        detach(token)


def finished(finish: Finish, *, is_audited: bool = False, record_id: str | None = None) -> None:
    """Count, emit, log and audit the end of a run; each part also if another fails.

    `is_audited`: its audit event was kept before. `record_id`: what its log record has for an id,
    where another process may tell the same end again.
    """
    run = finish.run
    with at(run):
        metrics.record_pipeline_execution(
            run.name, run.organization, finish.status, finish.duration
        )
        emit(finish)
        _log_finished(finish, record_id)
        if not is_audited:
            _audit(lambda: audit_event(finish))


def emit(finish: Finish) -> None:
    """Emit the root span of the run. The same one again is the same span, by its ids."""
    with guard.absorb("emitting the span of a run"):
        tracing.emit(_span(finish))


def _span(finish: Finish) -> tracing.FinishedSpan:
    run = finish.run
    ours = {
        PIPELINE_NAME: run.name,
        PIPELINE_ORGANIZATION: run.organization,
        PIPELINE_RUN_ID: run.id,
        PIPELINE_STATUS: finish.status,
        PIPELINE_RUN_TRIGGER: run.trigger,
        PIPELINE_RUN_TRIGGERED_BY: run.triggered_by,
        PIPELINE_RUN_ATTEMPT: run.attempt,
        ERROR_TYPE: finish.error_type,
    }
    return tracing.FinishedSpan(
        name=RUN_SPAN.name.replace(f"{{{PIPELINE_NAME}}}", run.name),
        context=run.span_context,
        parent=None,
        kind=SpanKind.INTERNAL,
        start_ns=run.started_ns,
        end_ns=finish.ended_ns,
        attributes={**finish.attributes, **cast("dict[str, AttributeValue]", _without_none(ours))},
        links=tuple(Link(context) for context in run.links),
        error=finish.error_text,
    )


def _log_finished(finish: Finish, record_id: str | None) -> None:
    fields = {
        PIPELINE_STATUS: finish.status,
        "duration": finish.duration,
        ERROR_TYPE: finish.error_type,
        LOG_RECORD_UID: record_id,
    }
    with guard.absorb("logging the end of a run"):
        _log.info("pipeline_run_finished", extra=_fields(finish.run, fields))


def _audit(event: Callable[[], AuditEvent]) -> None:
    """Write an audit event of a run. A run is not an audited action: it never fails for it."""
    with guard.absorb("auditing a run"):
        if audit.has_place():
            audit.tell(event())


def _event(name: str, run: Run, *, outcome: str, details: Mapping[str, object]) -> AuditEvent:
    facts = {
        "pipeline_name": run.name,
        "trigger_type": run.trigger,
        "triggered_by": run.triggered_by,
        **details,
    }
    return audit.made(
        name,
        actor=run.triggered_by,
        organization=run.organization,
        resource={"type": "pipeline_run", "id": run.id},
        outcome=outcome,
        details=_without_none(facts),
    )


def _fields(run: Run, more: Mapping[str, object]) -> dict[str, object]:
    """Return all fields of a record, for formatters that know no `log_context` too."""
    return {**run.log_fields(), **_without_none(more)}


def _without_none(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}
