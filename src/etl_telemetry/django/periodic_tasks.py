"""django-celery-beat: schedules in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import Q
from django.utils import timezone

from etl_telemetry.observer import Entry, Reading, Schedules

_APP = "django_celery_beat"
_LAG = 200.0
"""Seconds after which `DatabaseScheduler` has written what it sent: it does so each 180 s."""
_KINDS = ("interval", "crontab", "solar", "clocked")


def is_used() -> bool:
    """Return whether the project has django-celery-beat."""
    return apps.is_installed(_APP)


class PeriodicTasks:
    """Read the enabled periodic tasks."""

    def __init__(self, *, tolerance: float) -> None:
        self._schedules = Schedules(tolerance=tolerance, lag=_LAG)

    def read(self) -> list[Reading]:
        """Return what was missed and what is due; one query, however many there are."""
        return self._schedules.readings(tuple(_entries()))


def _entries() -> Iterator[Entry]:
    now = timezone.now()
    model: Any = apps.get_model(_APP, "PeriodicTask")
    begun = Q(start_time=None) | Q(start_time__lte=now)
    valid = Q(expires=None) | Q(expires__gt=now)
    for task in model.objects.filter(begun, valid, enabled=True).select_related(*_KINDS):
        yield Entry(task.name, task.schedule, _aware(task.last_run_at))


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)
