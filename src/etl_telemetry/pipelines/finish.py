"""Finish a run, from any process: in the last task, an error callback, an admin's cancel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from opentelemetry.trace import Link, SpanContext

from etl_telemetry import guard, metrics
from etl_telemetry.catalogue import RunStatus
from etl_telemetry.pipelines import inputs, report
from etl_telemetry.pipelines.facts import Facts, Moment
from etl_telemetry.pipelines.run import Run, current_run
from etl_telemetry.values import AttributeValue

Claim = Callable[[str], bool]
"""The application's own state change of a run, by its id: True for the first finisher only."""

_REMEMBERED = 10_000


def finish_run(
    run_id: str | UUID | int,
    status: RunStatus | str,
    *,
    name: str,
    organization: str,
    started_at: Moment,
    finished_at: Moment | None = None,
    trigger: str | None = None,
    triggered_by: str | None = None,
    attempt: int | None = None,
    claim: Claim | None = None,
    error: BaseException | str | None = None,
    attributes: Mapping[str, object] | None = None,
    rows: Mapping[str, int] | None = None,
    links: Sequence[SpanContext | Link] = (),
) -> bool:
    """End a run: count it, once, and emit the root span of its trace; True if this call did.

    `claim(run_id)`, with the id as text, decides who is the first finisher, over
    all processes: let it change the state of the run in your database, and call
    this after the commit. What dies between the claim and the export is lost (at
    most once). Without a claim only a second finish in this process is found. A
    second finish changes nothing and is logged at level DEBUG.

    What the current run knows (trigger, who, attempt, links) need not be repeated
    where it is the run that ends. `rows` has the totals `read`, `processed`,
    `rejected`, `skipped` for the span; steps have counted them already.

    Nothing that is wrong in the arguments raises: a status that is not one of
    `RunStatus` is counted as ``unknown``; a begin that is missing or after the end
    costs the duration, not the count; a run without an id is counted and claims
    nothing. The one thing that raises is `claim`, which is the application's code:
    then nothing was counted, and the call can be repeated.

    >>> finish_run("42", "success", name="daily", organization="acme", started_at=1.76e9)
    True
    >>> finish_run("42", "failed", name="daily", organization="acme", started_at=1.76e9)
    False
    """
    known_id = inputs.given_run_id(run_id)
    if known_id is None:
        inputs.invalid("finish_run needs a run id: the run was counted, its claim was not asked")
        claim = None
    facts = Facts(name, organization, known_id, trigger, triggered_by, attempt, started_at, links)
    more = {**inputs.span_attributes(attributes), **inputs.run_rows(rows)}
    ends: list[report.Finish] = []
    with guard.absorb("reading the end of a run"):
        ends.append(_end(facts, status, finished_at, inputs.error(error), more))
    return bool(ends) and conclude(ends[0], claim=claim)


def end_of_run(
    run_id: object,
    status: RunStatus | str,
    *,
    name: str,
    organization: str,
    started_at: Moment | None,
    finished_at: Moment,
    trigger: str | None = None,
    triggered_by: str | None = None,
    attempt: int | None = None,
    error: str | None = None,
    error_type: str | None = None,
    links: Sequence[SpanContext | Link] = (),
) -> report.Finish | None:
    """Return how a run ended, for a ledger that has decided that it is counted; never raise.

    `report.finished` tells it to the world, `report.emit` sends its span once more. None
    where its facts cannot be read.
    """
    facts = Facts(name, organization, run_id, trigger, triggered_by, attempt, started_at, links)
    found: list[report.Finish] = []
    with guard.absorb("reading the end of a run"):
        end = _end(facts, status, finished_at, inputs.error(error), {})
        found.append(replace(end, error_name=error_type))
    return found[0] if found else None


def conclude(end: report.Finish, *, claim: Claim | None) -> bool:
    """Report the end of a run if nobody did before; True if this call did."""
    if not _claimed(end.run.id, claim):
        report.already_finished(end.run)
        return False
    with guard.absorb("reporting the end of a run"):
        report.finished(end)
        # Where a ledger decides, the observer reads it from the run table instead.
        if end.status == RunStatus.SUCCESS:
            metrics.record_last_success(end.run.name, end.run.organization, end.ended_ns / 1e9)
    return True


def _end(
    facts: Facts,
    status: object,
    finished_at: object,
    error: BaseException | str | None,
    attributes: dict[str, AttributeValue],
) -> report.Finish:
    started_ns = inputs.nanoseconds(facts.started_at, what="started_at")
    here = current_run()
    if here is not None and here.id == facts.run_id:
        facts = facts.completed(here)
        started_ns = here.started_ns if started_ns is None else started_ns
    ended_ns = inputs.nanoseconds(finished_at, what="finished_at")
    if ended_ns is None:
        ended_ns = time.time_ns()
    run = facts.run(
        Run,
        started_ns=ended_ns if started_ns is None else started_ns,
        links=inputs.span_contexts(facts.links),
    )
    return report.Finish(
        run=run,
        status=metrics.status_of(status, RunStatus),
        ended_ns=max(ended_ns, run.started_ns),
        duration=_duration(started_ns, ended_ns),
        error=error,
        attributes=attributes,
    )


class _Finished:
    """Remember the runs that ended in this process, the last 10,000.

    Needs no lock, so that nothing can be held during a fork: `setdefault`,
    `append` and `popleft` are atomic.
    """

    __slots__ = ("_by_id", "_order")

    def __init__(self) -> None:
        self._by_id: dict[str, object] = {}
        self._order: deque[str] = deque()

    def first(self, run_id: str) -> bool:
        """Tell whether ``run_id`` is new, and remember it."""
        mark = object()
        if self._by_id.setdefault(run_id, mark) is not mark:
            return False
        self._order.append(run_id)
        if len(self._order) > _REMEMBERED:
            self._by_id.pop(self._order.popleft(), None)
        return True

    def forget(self) -> None:
        """Take every run for new again."""
        self._by_id.clear()
        self._order.clear()


_finished = _Finished()


def forget_finished() -> None:
    """Forget which runs ended in this process, between two tests that use the same id.

    >>> forget_finished()
    """
    _finished.forget()


def _claimed(run_id: str, claim: object) -> bool:
    if not callable(claim):
        if claim is not None:
            inputs.invalid("claim must be a function of the run id: it was not asked")
        return _finished.first(run_id)
    answer = claim(run_id)
    if answer is None:
        inputs.invalid("claim must return True or False: None was read as False")
    if not answer:
        return False
    _finished.first(run_id)
    return True


def _duration(started_ns: int | None, ended_ns: int) -> float | None:
    if started_ns is None:
        return None
    if ended_ns < started_ns:
        inputs.invalid("a run ended before it began: its duration was left out")
        return None
    return (ended_ns - started_ns) / 1e9
