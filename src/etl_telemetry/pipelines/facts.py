"""What the application says about a run, at its begin and at its end, before anybody checked it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from etl_telemetry import guard, metrics
from etl_telemetry.catalogue import (
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ATTEMPT,
    PIPELINE_RUN_TRIGGER,
    PIPELINE_RUN_TRIGGERED_BY,
    UNKNOWN,
)
from etl_telemetry.pipelines import inputs
from etl_telemetry.pipelines.run import Run, root_context

Moment = datetime | float | str
"""An aware datetime, Unix seconds, or ISO 8601 text."""

_RunT = TypeVar("_RunT", bound=Run)


@dataclass(frozen=True, slots=True)
class Facts:
    """The arguments that `pipeline_run`, `begin_run` and `finish_run` share."""

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
    """True begin, or None."""
    links: object
    """Spans that led to it."""

    def begin(self, kind: type[_RunT]) -> _RunT:
        """Return the run that begins here, linked to the span that is current here; never raise."""
        made: list[_RunT] = []
        with guard.absorb("beginning a run"):
            started_ns = inputs.nanoseconds(self.started_at, what="started_at")
            here = trace.get_current_span().get_span_context()
            links = inputs.span_contexts(self.links)
            made.append(
                self.run(
                    kind,
                    started_ns=now() if started_ns is None else started_ns,
                    links=(here, *links) if here.is_valid else links,
                )
            )
        return made[0] if made else kind(inputs.new_run_id(), UNKNOWN, UNKNOWN, now())

    def completed(self, run: Run) -> Facts:
        """Return the same with what ``run`` knows where nothing was said."""
        return replace(
            self,
            trigger=run.trigger if self.trigger is None else self.trigger,
            triggered_by=run.triggered_by if self.triggered_by is None else self.triggered_by,
            attempt=run.attempt if self.attempt is None else self.attempt,
            links=(*inputs.span_contexts(self.links), *run.links),
        )

    def run(self, kind: type[_RunT], *, started_ns: int, links: tuple[SpanContext, ...]) -> _RunT:
        """Return the run, every fact made usable. A run does not link to its own trace."""
        run_id = inputs.given_run_id(self.run_id)
        if run_id is None:
            if self.run_id is not None:
                inputs.invalid("a run id must not be empty: the run got a new one")
            run_id = inputs.new_run_id()
        trace_id = root_context(run_id).trace_id
        return kind(
            id=run_id,
            name=metrics.label(self.name, attribute=PIPELINE_NAME),
            organization=metrics.label(self.organization, attribute=PIPELINE_ORGANIZATION),
            started_ns=started_ns,
            trigger=inputs.optional_text(self.trigger, what=PIPELINE_RUN_TRIGGER),
            triggered_by=inputs.optional_text(self.triggered_by, what=PIPELINE_RUN_TRIGGERED_BY),
            attempt=inputs.whole_number(self.attempt, what=PIPELINE_RUN_ATTEMPT),
            links=inputs.distinct(link for link in links if link.trace_id != trace_id),
        )


def now() -> int:
    """Return the time in Unix nanoseconds, cut to the microseconds that a database keeps."""
    return time.time_ns() // 1_000 * 1_000
