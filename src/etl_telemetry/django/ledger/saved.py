"""Runs that the host ends by itself: noticed when they are saved, or found in its table."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from etl_telemetry import guard
from etl_telemetry.catalogue import RunStatus
from etl_telemetry.django import mapping
from etl_telemetry.django.figures.windows import moment
from etl_telemetry.django.ledger.entries import entries, insert
from etl_telemetry.django.ledger.models import RunEnd
from etl_telemetry.django.ledger.tables import ready
from etl_telemetry.logs.aloud import aloud
from etl_telemetry.pipelines import inputs

_log = logging.getLogger("etl_telemetry.django")
_CHUNK = 500


def connect() -> None:
    """Notice each save of a run; once is enough, more does no harm."""
    if mapping.usable():
        post_save.connect(
            _saved, sender=mapping.current().run.model, dispatch_uid="etl_telemetry.ledger"
        )


def _saved(
    instance: Any,
    *,
    using: str,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """Write an entry for a run that was saved as ended: in the host's transaction, if there is one.

    A run that has one keeps it. A fixture (`raw`) is history.
    """
    with guard.absorb("a run that was saved"):
        models = mapping.current()
        status = models.run["status"]
        if raw or (update_fields is not None and status not in update_fields):
            return
        if instance.__dict__.get(status) not in models.statuses.of(*RunStatus):
            return
        # A savepoint: whatever goes wrong must not spoil the transaction of the host.
        if using in models.databases and ready(using):
            with transaction.atomic(using=using):
                insert(using, entries(models, using, [instance.pk], is_change=False))


def find(using: str, *, since_us: int) -> int:
    """Write entries for runs that ended since a moment and have none; return how many.

    Bulk updates, SQL, and what ended while the ledger's tables lacked send no signal.
    """
    models = mapping.current()
    run = models.run
    since = moment(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=since_us))
    ended = (
        run.model._base_manager.using(using)
        .filter(
            **{
                f"{run['status']}__in": models.statuses.of(*RunStatus),
                f"{run['finished_at']}__gte": since,
            }
        )
        .order_by(run["finished_at"], "pk")
        .values_list("pk", flat=True)
        .iterator(chunk_size=_CHUNK)
    )
    number = 0
    while keys := list(islice(ended, _CHUNK)):
        by_id = {inputs.given_run_id(key): key for key in keys}
        known = RunEnd.objects.using(using).filter(run_id__in=list(by_id))
        missing = by_id.keys() - set(known.values_list("run_id", flat=True))
        if missing:
            pks = [by_id[run_id] for run_id in missing]
            insert(using, entries(models, using, pks, is_change=False))
            number += len(missing)
    if number:
        with aloud():
            _log.info("ledger_runs_found", extra={"database": using, "runs": number})
    return number
