"""Begin a run whose end comes elsewhere: publish its first task inside of the block."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext

from etl_telemetry import guard
from etl_telemetry.pipelines import inputs, report
from etl_telemetry.pipelines.finish import Moment
from etl_telemetry.pipelines.run import Run, RunToken, attach, detach, make_run

_RunT = TypeVar("_RunT", bound=Run)


@dataclass(frozen=True, slots=True)
class Begin:
    """What the application said about the begin of a run."""

    name: object
    """Name of the pipeline."""
    organization: object
    """Organization that owns it."""
    run_id: object
    """Id of the run; None: a new one."""
    trigger: object
    """What started it, or None."""
    triggered_by: object
    """Who started it, or None."""
    attempt: object
    """Number of the attempt, or None."""
    started_at: object
    """True begin; None: now."""
    links: object
    """More spans that led to it."""

    def make(self, kind: type[_RunT]) -> _RunT:
        """Return the run, linked to the span that is current here."""
        started_ns = inputs.nanoseconds(self.started_at, what="started_at")
        return make_run(
            kind,
            name=self.name,
            organization=self.organization,
            run_id=self.run_id,
            started_ns=now() if started_ns is None else started_ns,
            trigger=self.trigger,
            triggered_by=self.triggered_by,
            attempt=self.attempt,
            links=self._links(),
        )

    def _links(self) -> tuple[SpanContext, ...]:
        here = trace.get_current_span().get_span_context()
        given = inputs.span_contexts(self.links)
        return tuple(dict.fromkeys((*([here] if here.is_valid else []), *given)))


def begin_run(
    name: str,
    *,
    organization: str,
    run_id: str | UUID | int | None = None,
    trigger: str | None = None,
    triggered_by: str | None = None,
    attempt: int | None = None,
    started_at: Moment | None = None,
    links: Sequence[SpanContext | Link] = (),
) -> AbstractContextManager[Run]:
    """Begin a run in this process: inside of the block it is the current run, afterwards it is not.

    Publish the first task inside, so that its message belongs to the trace of the
    run. The request or the beat tick that is current before is linked from the
    run's root span, and so are `links`. Call `finish_run` where the run ends.

    Nothing is counted here, and a block that raises leaves nothing to be cleaned
    up: where the transaction rolls back, there is no run. In a transaction, begin
    it in the callback of `on_commit`. Wrong arguments never raise.

    >>> with begin_run("daily", organization="acme", run_id=42, trigger="api") as run:
    ...     current_id = run.id  # load.delay(run.id)
    >>> current_id
    '42'
    """
    return _Block(
        Begin(name, organization, run_id, trigger, triggered_by, attempt, started_at, links)
    )


class _Block(AbstractContextManager[Run]):
    """The block of `begin_run`. A class, since a generator would hide the caller's line."""

    __slots__ = ("_begin", "_entered")

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._entered: list[tuple[Run, RunToken]] = []

    def __enter__(self) -> Run:
        run = self._begin.make(Run)
        self._entered.append((run, attach(run)))
        report.started(run)
        return run

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run, token = self._entered.pop()
        try:
            if error is None:
                with guard.absorb("ending the block of begin_run"):
                    report.audit_started(run)
        finally:
            detach(token)


def now() -> int:
    """Return the time in Unix nanoseconds, cut to the microseconds that a database keeps."""
    return time.time_ns() // 1_000 * 1_000
