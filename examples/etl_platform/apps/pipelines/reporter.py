"""Report the runs that ended, exactly once each: the only place that counts runs.

Why the worker that ends a run must not count it: it may be killed between the commit and
the export, and then the table knows a run that no counter has; or it counts first and the
commit fails. So a worker only writes (status and outbox row, one transaction), and one
long-lived process, this one, turns the outbox into telemetry.

Why this one can be killed too, anywhere, with -9: a cumulative counter is a *fold over the
ledger*. The process has a fixed `service.instance.id`, so a restarted one continues the
same series, and it starts with replaying the rows that were reported before. After that
its counters say what the table says, whatever the previous process had managed to export:

- killed before the export: the row is unreported, and reported after the restart;
- killed after the export and before `reported_at` was set: reported again, but into
  counters that start from the table, so the sum is right; the run's root span is sent a
  second time with the same ids and times, which is the same span to a trace store;
- killed after `reported_at`: the row is replayed.

The replayed sums begin where the ledger begins (`LEDGER_BEGINS`), in each process anew. In
OTLP a new start time means a counter that began again at zero, and receivers add what it
had before: then each restart would count the whole ledger once more.

A flush that fails leaves `reported_at` empty: the row stays in the counters of this
process, is not folded twice (`_folded`), and the flush is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.utils import timezone

from apps.pipelines import links
from apps.pipelines.models import RunOutbox
from etl_telemetry import finish_run, metrics

logger = logging.getLogger(__name__)


class Reporter:
    """Fold the outbox into telemetry. Only one may run: `report_runs` holds a lock."""

    def __init__(self, flush: Callable[[], bool]) -> None:
        self._flush = flush
        self._folded: set[int] = set()

    def replay(self) -> int:
        """Put what was reported before back into the counters; return how many runs."""
        reported = list(RunOutbox.objects.exclude(reported_at=None))
        metrics.rebuild_pipeline_executions(
            ((row.pipeline_name, row.organization, row.status, row.seconds) for row in reported),
            since=settings.LEDGER_BEGINS,
        )
        self._folded.update(row.pk for row in reported)
        logger.info("ledger_replayed", extra={"runs": len(self._folded)})
        return len(self._folded)

    def report(self) -> int:
        """Report what is in the outbox; return how many runs are reported for certain now."""
        rows = list(RunOutbox.objects.filter(reported_at=None).select_related("run"))
        if not rows:
            return 0
        for row in rows:
            self._fold(row)
        if not self._flush():
            logger.warning("report_not_delivered", extra={"runs": len(rows)})
            return 0
        now = timezone.now()
        return RunOutbox.objects.filter(pk__in=[row.pk for row in rows]).update(reported_at=now)

    def _fold(self, row: RunOutbox) -> None:
        if row.pk in self._folded:
            return
        finish_run(
            str(row.run_id),
            row.status,
            name=row.pipeline_name,
            organization=row.organization,
            started_at=row.started_at,
            finished_at=row.finished_at,
            trigger=row.trigger_type,
            triggered_by=row.run.triggered_by_reference,
            attempt=row.run.attempt,
            error=row.run.error or None,
            links=links.from_json(row.run.links),
            claim=lambda _: row.pk not in self._folded,
        )
        self._folded.add(row.pk)


LOCK_FILE = "report_runs.lock"


def lock_path() -> str:
    """Return the file that the running reporter holds locked."""
    return str(settings.DATA_DIR / LOCK_FILE)
