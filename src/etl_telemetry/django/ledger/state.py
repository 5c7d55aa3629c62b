"""What the run table says now, and runs that nobody will end any more."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, OuterRef, Q, Subquery
from django.utils import timezone

from etl_telemetry import setup
from etl_telemetry.catalogue import (
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    PIPELINE_STATUS,
    UNKNOWN,
    RunStatus,
)
from etl_telemetry.django import mapping
from etl_telemetry.django.ledger.entries import microseconds
from etl_telemetry.django.ledger.finish import finish_run
from etl_telemetry.django.ledger.models import RunEnd
from etl_telemetry.django.ledger.tables import ready
from etl_telemetry.logs.aloud import aloud

_log = logging.getLogger("etl_telemetry.django")
_IN_TIME = "Nobody finished the run in time."


def active_runs() -> int:
    """Return how many runs are pending or running now, in all databases."""
    models = mapping.current()
    active = {f"{models.run['status']}__in": models.statuses.active}
    return sum(_all(models.run.model, alias).filter(**active).count() for alias in models.databases)


def active_run_ages(*, now: datetime | None = None) -> Mapping[tuple[str, str], float]:
    """Return the age of the oldest active run by pipeline and organization, in seconds.

    A pipeline without an active run is not there.
    """
    models = mapping.current()
    run, organization = models.run, models.organization_name
    at = timezone.now() if now is None else now
    # By key: MySQL groups names without regard to capitals and accents.
    names = [models.run["pipeline"], models.of_run(models.pipeline["name"])]
    names += [models.of_run(organization)] if organization else []
    active = {f"{run['status']}__in": models.statuses.active, f"{run['started_at']}__isnull": False}
    found: dict[tuple[str, str], float] = {}
    for alias in models.databases:
        oldest = _all(run.model, alias).filter(**active).values_list(*names)
        for _, name, *rest in oldest.annotate(begin=Min(run["started_at"])):
            *owner, begin = rest
            key = (str(name), str(owner[0]) if owner else UNKNOWN)
            age = max(0.0, (at - begin).total_seconds())
            found[key] = max(found.get(key, 0.0), age)
    return found


def last_successes() -> Mapping[tuple[str, str], float]:
    """Return when each pipeline last succeeded, in Unix seconds: (pipeline, organization) -> time.

    A pipeline that never did is not there.
    """
    models = mapping.current()
    run, finished = models.run, models.run["finished_at"]
    found: dict[tuple[str, str], float] = {}
    for alias in models.databases:
        successes = (
            _all(run.model, alias)
            .filter(
                **{
                    run["pipeline"]: OuterRef("pk"),
                    f"{run['status']}__in": models.statuses.of("success"),
                    f"{finished}__isnull": False,
                }
            )
            .order_by(f"-{finished}")
            .values(finished)[:1]
        )
        organization = models.organization_name
        names = [models.pipeline["name"], *([organization] if organization else [])]
        pipelines = _all(models.pipeline.model, alias).annotate(last=Subquery(successes))
        for last, name, *rest in pipelines.filter(last__isnull=False).values_list("last", *names):
            key = (str(name), str(rest[0]) if rest else UNKNOWN)
            found[key] = max(found.get(key, 0.0), microseconds(last) / 1e6)
    return found


def waiting() -> int:
    """Return how many runs ended and are not reported yet, in all databases.

    Zero says that the counters are what the run table says. Runs that ended by SQL or bulk
    updates are known within a minute.
    """
    outbox = RunEnd.objects.filter(stage__lt=RunEnd.REPORTED).order_by()
    aliases = [alias for alias in mapping.current().databases if ready(alias)]
    return sum(outbox.using(alias).count() for alias in aliases)


def end_overdue(*, now: datetime | None = None) -> int:
    """End the runs that nobody finished in time, once each; return how many.

    A run is overdue after its own deadline where the mapping names a field for it, else
    `run_deadline` seconds after its begin. It ends as cancelled where somebody had asked for
    that (`cancel_requested`), else as lost.
    """
    models = mapping.current()
    organization, asked = models.organization_name, models.run.get("cancel_requested")
    lookups = {
        "pk": "pk",
        PIPELINE_NAME: models.of_run(models.pipeline["name"]),
        **({PIPELINE_ORGANIZATION: models.of_run(organization)} if organization else {}),
        **({"asked": asked} if asked else {}),
    }
    ended = 0
    for alias in models.databases:
        overdue = _overdue(models, alias, timezone.now() if now is None else now)
        for row in list(overdue.values_list(*lookups.values())):
            facts = dict(zip(lookups, row, strict=True))
            pk = facts.pop("pk")
            status = RunStatus.CANCELLED if facts.pop("asked", None) else RunStatus.LOST
            error = _IN_TIME if status is RunStatus.LOST else None
            if finish_run(pk, status, error=error, using=alias):
                ended += 1
                told = {PIPELINE_RUN_ID: str(pk), PIPELINE_STATUS: status.value}
                names = {key: str(value) for key, value in facts.items()}
                with aloud():
                    _log.warning("pipeline_run_overdue", extra={**told, **names})
    return ended


def _overdue(models: mapping.Models, alias: str, now: datetime) -> Any:
    """Return the active runs that should have ended."""
    run = models.run
    active = _all(run.model, alias).filter(**{f"{run['status']}__in": models.statuses.active})
    deadline = run.get("deadline")
    late, without_own = Q(), Q()
    if deadline is not None:
        late = Q(**{f"{deadline}__lte": now})
        without_own = Q(**{f"{deadline}__isnull": True})
    telemetry = setup.active()
    seconds = None if telemetry is None else telemetry.config.run_deadline
    if seconds is not None:
        begun_by = now - timedelta(seconds=seconds)
        late |= without_own & Q(**{f"{run['started_at']}__lte": begun_by})
    return active.filter(late).order_by(run["started_at"]) if late else active.none()


def _all(model: Any, alias: str) -> Any:
    return model._base_manager.using(alias).order_by()
