"""Take runs out of the outbox and add them to the totals, in one transaction."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Min

from etl_telemetry import audit, guard, metrics
from etl_telemetry.catalogue import (
    PIPELINE_EXECUTION_DURATION,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
)
from etl_telemetry.django.audit import store
from etl_telemetry.django.ledger.entries import end, now_us
from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal
from etl_telemetry.logs.aloud import aloud
from etl_telemetry.pipelines import report

_log = logging.getLogger("etl_telemetry.django")
BATCH = 500
"""Runs that are counted in one transaction."""
_MINUTE_US = 60_000_000
_BUCKETS = PIPELINE_EXECUTION_DURATION.buckets or ()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who drains a ledger, and for how long nobody else may."""

    name: str
    """Which process."""
    lease: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted."""

    number: int
    """Runs taken out of the outbox."""
    taken_over: bool
    """Whether another process may have counted since this one last did."""


def hold(using: str, holder: Holder) -> tuple[Ledger, bool] | None:
    """Take or prolong the right to drain the ledger of a database; None: somebody else has it.

    Tells whether it was taken. The row is locked until the surrounding transaction ends, so
    that of two only one counts.
    """
    rows = Ledger.objects.using(using).filter(pk=Ledger.ONLY)
    now = now_us()
    mine = {"holder": holder.name, "held_until_us": now + int(holder.lease * 1e6)}
    if rows.filter(holder=holder.name).update(**mine):
        return rows.get(), False
    if rows.filter(held_until_us__lt=now).update(**mine):
        return rows.get(), True
    if rows.exists() or not _begin(using, mine):
        return None
    return rows.get(), True


def release(using: str, holder: Holder) -> None:
    """Let the next process drain at once."""
    Ledger.objects.using(using).filter(holder=holder.name).update(held_until_us=0)


def _begin(using: str, mine: dict[str, object]) -> bool:
    """Begin the ledger, at its first entry; False where another process was faster."""
    first = RunEnd.objects.using(using).aggregate(first=Min("written_us"))["first"]
    began = min(now_us(), first) if first is not None else now_us()
    ledger = Ledger(id=Ledger.ONLY, began_us=began, counted_from_us=began - _MINUTE_US, **mine)
    Ledger.objects.using(using).bulk_create([ledger], ignore_conflicts=True)
    return Ledger.objects.using(using).filter(holder=mine["holder"]).exists()


def count(using: str, holder: Holder) -> Counted | None:
    """Count one batch of the outbox; None where somebody else drains."""
    with transaction.atomic(using=using):
        held = hold(using, holder)
        if held is None:
            return None
        ledger, taken_over = held
        outbox = RunEnd.objects.using(using)
        written = list(outbox.filter(stage=RunEnd.WRITTEN).order_by("id")[:BATCH])
        if not written:
            return Counted(0, taken_over)
        refused = [entry for entry in written if _is_history(entry, ledger)]
        counted = [entry for entry in written if entry not in refused]
        outbox.filter(pk__in=[entry.pk for entry in refused]).delete()
        _add(using, counted)
        audited = _audit(using, counted)
        outbox.filter(pk__in=[entry.pk for entry in counted]).update(stage=RunEnd.COUNTED)
        outbox.filter(pk__in=audited).update(is_audited=True)
    for entry in refused:
        with aloud():
            _log.info("ledger_run_refused", extra=_fields(entry))
    return Counted(len(written), taken_over)


def _is_history(entry: RunEnd, ledger: Ledger) -> bool:
    """Tell whether a run ended before the ledger began, and was only saved once more."""
    return not entry.is_change and entry.finished_us < ledger.counted_from_us


def _add(using: str, counted: Sequence[RunEnd]) -> None:
    totals = RunTotal.objects.using(using)
    keys = {_key(entry) for entry in counted}
    known = {total.key: total for total in totals.filter(key__in=keys)}
    for entry in counted:
        key = _key(entry)
        total = known.get(key)
        if total is None:
            total = known[key] = RunTotal(
                key=key, pipeline=entry.pipeline, organization=entry.organization,
                status=entry.status, buckets=[0] * (len(_BUCKETS) + 1),
            )  # fmt: skip
        total.count += 1
        if entry.started_us is not None and entry.started_us <= entry.finished_us:
            took = entry.finished_us - entry.started_us
            total.microseconds += took
            total.buckets[bisect_left(_BUCKETS, took / 1e6)] += 1
    old = [total for total in known.values() if total.pk is not None]
    totals.bulk_create([total for total in known.values() if total.pk is None])
    totals.bulk_update(old, ["count", "microseconds", "buckets"])


def _audit(using: str, counted: Sequence[RunEnd]) -> list[int]:
    """Keep the audit events of ends in the transaction that counts them; return which are kept.

    Where they have no table here, they are told with the rest of what is told of a run. All in
    one statement: a batch must not take longer than the lease. One that cannot be kept is left out.
    """
    is_kept_here = False
    with guard.absorb("auditing runs"):
        is_kept_here = audit.has_store() and store.is_migrated(using)
    told = counted if is_kept_here else ()
    ends = {entry.pk: how for entry in told if (how := end(entry)) is not None}
    if not ends or _keep(using, list(ends.values())):
        return list(ends)
    return [pk for pk, how in ends.items() if _keep(using, [how])]


def _keep(using: str, ends: Sequence[report.Finish]) -> bool:
    with guard.absorb("auditing runs"):
        events = [report.audit_event(how) for how in ends]
        return store.keep(events, using=using, at=lambda number: report.at(ends[number].run))
    return False


def snapshot(using: str) -> list[metrics.RunTotal]:
    """Return the totals of a database, oldest first."""
    return [
        metrics.RunTotal(
            pipeline=total.pipeline,
            organization=total.organization,
            status=total.status,
            count=total.count,
            seconds=total.microseconds / 1e6,
            buckets=tuple(total.buckets),
            announced=total.announced,
        )
        for total in RunTotal.objects.using(using).order_by("id")
    ]


def announce(using: str, totals: Iterable[metrics.RunTotal]) -> None:
    """Note that series were exported."""
    new = [_key(total) for total in totals if not total.announced]
    RunTotal.objects.using(using).filter(key__in=new).update(announced=True)


def _key(row: RunEnd | metrics.RunTotal) -> str:
    names = f"{row.pipeline}\0{row.organization}\0{row.status}"
    return hashlib.sha256(names.encode(errors="surrogatepass")).hexdigest()


def _fields(entry: RunEnd) -> dict[str, object]:
    return {
        PIPELINE_NAME: entry.pipeline,
        PIPELINE_ORGANIZATION: entry.organization,
        PIPELINE_RUN_ID: entry.run_id,
    }
