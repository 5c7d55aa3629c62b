"""Which pipelines and which runs a question is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from etl_telemetry.django.mapping import Models

MONTH = timedelta(days=30)
"""The window where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs that a question is about."""

    models: Models
    """The host's models."""
    using: str
    """Alias of the database."""
    organizations: Iterable[Any] | None
    """Organizations by instance or key, or by name where no model is mapped; None: all."""
    pipelines: Iterable[Any] | None
    """Pipelines by instance or key; None: all."""
    since: datetime
    """First moment of the window."""
    until: datetime | None
    """First moment after the window; None: no end."""

    def all_pipelines(self) -> QuerySet[Any]:
        """Return the pipelines."""
        found = self.models.pipeline.model._base_manager.using(self.using)
        organization = self.models.pipeline.get("organization")
        if self.organizations is not None and organization is not None:
            found = found.filter(**{f"{organization}__in": self.organizations})
        elif self.organizations is not None:
            found = found.none()
        return found if self.pipelines is None else found.filter(pk__in=self.pipelines)

    def all_runs(self) -> QuerySet[Any]:
        """Return their runs, whenever they began."""
        found = self.models.run.model._base_manager.using(self.using).order_by()
        if self.organizations is None and self.pipelines is None:
            return found
        pipelines = self.all_pipelines().order_by().values("pk")
        return found.filter(**{f"{self.models.run['pipeline']}__in": pipelines})

    def runs(self) -> QuerySet[Any]:
        """Return their runs that began in the window."""
        return self.all_runs().filter(**self.window(""))

    def tasks(self) -> QuerySet[Any]:
        """Return the task runs of these runs; task runs must be mapped."""
        task_run = self.models.task_run
        if task_run is None:
            raise LookupError("task_run")
        run = f"{task_run['run']}__"
        tasks = task_run.model._base_manager.using(self.using).order_by()
        if self.organizations is not None or self.pipelines is not None:
            pipelines = self.all_pipelines().order_by().values("pk")
            tasks = tasks.filter(**{f"{run}{self.models.run['pipeline']}__in": pipelines})
        return tasks.filter(**self.window(run))

    def window(self, prefix: str) -> dict[str, datetime]:
        """Return the window as a filter."""
        began = f"{prefix}{self.models.run['started_at']}"
        until = {} if self.until is None else {f"{began}__lt": self.until}
        return {f"{began}__gte": self.since, **until}


def bounds(window: timedelta, until: datetime | None) -> tuple[datetime, datetime | None]:
    """Return the first moment of a window and the first one after it, as the project keeps times.

    Raises `ValueError` for a window that is not longer than nothing.
    """
    if window <= timedelta(0):
        raise ValueError(f"window must be longer than nothing, got {window}")
    end = None if until is None else moment(until)
    return (timezone.now() if end is None else end) - window, end


def moment(value: datetime) -> datetime:
    """Return a time as the project keeps times: aware with `USE_TZ`, else naive and local."""
    if settings.USE_TZ and timezone.is_naive(value):
        return timezone.make_aware(value, timezone.get_default_timezone())
    if not settings.USE_TZ and timezone.is_aware(value):
        return timezone.make_naive(value, timezone.get_default_timezone())
    return value
