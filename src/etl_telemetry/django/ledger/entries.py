"""Entries of the outbox: the facts of a run that ended, read from the host's tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry import metrics, redaction, tracing
from etl_telemetry.catalogue import ORGANIZATION, PIPELINE_NAME, PIPELINE_RUN_ATTEMPT, UNKNOWN
from etl_telemetry.django.ledger.models import RunEnd
from etl_telemetry.django.mapping import Models
from etl_telemetry.pipelines import current_run, inputs, report
from etl_telemetry.pipelines.finish import end_of_run
from etl_telemetry.tracing.settings import settings

_OPTIONAL = ("trigger", "triggered_by", "attempt", "error")
_MAX_ATTEMPT = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entries(
    models: Models,
    using: str,
    pks: Iterable[object],
    *,
    error: BaseException | str | None = None,
    is_change: bool,
) -> list[RunEnd]:
    """Return entries for runs that ended, in the order in which they ended."""
    run = models.run
    organization = models.organization_name
    lookups = {
        "pk": "pk",
        "pipeline": models.of_run(models.pipeline["name"]),
        "organization": models.of_run(organization) if organization else None,
        **{fact: run[fact] for fact in ("status", "started_at", "finished_at")},
        **{fact: run.get(fact) for fact in _OPTIONAL},
    }
    told = {fact: lookup for fact, lookup in lookups.items() if lookup is not None}
    rows = (
        run.model._base_manager.using(using)
        .filter(pk__in=list(pks))
        .order_by(run["finished_at"], "pk")
        .values_list(*told.values())
    )
    return [
        entry
        for row in rows
        if (entry := _entry(models, dict(zip(told, row, strict=True)), error, is_change=is_change))
    ]


def insert(using: str, found: Sequence[RunEnd]) -> None:
    """Write entries; a run that has one already keeps it."""
    RunEnd.objects.using(using).bulk_create(found, ignore_conflicts=True)


def microseconds(moment: datetime) -> int:
    """Return a moment of the host in microseconds since 1970; a naive one is local time."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return round(moment.timestamp() * 1_000_000)


def now_us() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1_000


def end(entry: RunEnd) -> report.Finish | None:
    """Return how a run ended; None where its facts cannot be read."""
    return end_of_run(
        entry.run_id,
        entry.status,
        name=entry.pipeline,
        organization=entry.organization,
        started_at=None if entry.started_us is None else _moment(entry.started_us),
        finished_at=_moment(entry.finished_us),
        trigger=entry.trigger or None,
        triggered_by=entry.triggered_by or None,
        attempt=entry.attempt,
        error=entry.error or None,
        error_type=entry.error_type or None,
        links=_links(entry),
    )


def _links(entry: RunEnd) -> list[SpanContext]:
    """Return the spans that led to a run."""
    return [
        SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
        for trace_id, span_id in entry.links
    ]


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _entry(
    models: Models, row: dict[str, Any], error: BaseException | str | None, *, is_change: bool
) -> RunEnd | None:
    ending = models.statuses.ending(row["status"])
    run_id = inputs.given_run_id(row["pk"])
    if ending is None or run_id is None:
        return None
    started, finished = row["started_at"], row["finished_at"]
    broken: BaseException | str | None = row.get("error") if error is None else error
    here = current_run()
    spans = here.links if here is not None and here.id == run_id else ()
    return RunEnd(
        run_id=run_id,
        pipeline=_label(row["pipeline"], PIPELINE_NAME),
        organization=_label(row.get("organization", UNKNOWN), ORGANIZATION),
        status=ending[0],
        trigger=_optional(row.get("trigger")),
        triggered_by=_optional(row.get("triggered_by")),
        attempt=_attempt(row.get("attempt")),
        started_us=None if started is None else microseconds(started),
        finished_us=now_us() if finished is None else microseconds(finished),
        error=error_text(broken),
        error_type=_optional(tracing.type_name(type(broken)))
        if isinstance(broken, BaseException)
        else "",
        links=[[f"{span.trace_id:032x}", f"{span.span_id:016x}"] for span in spans],
        is_change=is_change,
        is_dated=finished is not None,
        written_us=now_us(),
    )


def error_text(error: BaseException | str | None) -> str:
    """Return what ended a run as it may be kept: without the data that it quotes."""
    if not error:
        return ""
    return redaction.exception_text(error, policy=settings().policy).replace("\x00", "")


def _label(value: object, attribute: str) -> str:
    return metrics.label(value, attribute=attribute).replace("\x00", "") or UNKNOWN


def _optional(value: object) -> str:
    return "" if value is None or value == "" else _label(value, "a fact of a run")


def _attempt(value: object) -> int | None:
    number = inputs.whole_number(value, what=PIPELINE_RUN_ATTEMPT)
    return number if number is not None and number <= _MAX_ATTEMPT else None
