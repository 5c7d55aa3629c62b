"""Begin a run whose end comes elsewhere: publish its first task inside of the block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from uuid import UUID

from opentelemetry.trace import Link, SpanContext

from etl_telemetry import guard
from etl_telemetry.pipelines import report
from etl_telemetry.pipelines.facts import Facts, Moment
from etl_telemetry.pipelines.run import Run, RunToken, attach, detach, take_own


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
        Facts(name, organization, run_id, trigger, triggered_by, attempt, started_at, links)
    )


class _Block(AbstractContextManager[Run]):
    """The block of `begin_run`. A class, since a generator would hide the caller's line."""

    __slots__ = ("_entered", "_facts")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._entered: dict[int, tuple[Run, RunToken]] = {}

    def __enter__(self) -> Run:
        run = self._facts.begin(Run)
        self._entered[id(run)] = run, attach(run)
        report.started(run)
        return run

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = take_own(self._entered)
        if entered is None:
            return  # It was never entered.
        run, token = entered
        try:
            if error is None:
                with guard.absorb("ending the block of begin_run"):
                    report.audit_started(run)
        finally:
            detach(token)
