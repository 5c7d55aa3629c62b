"""What the observer read last: one row, for processes that cannot ask the broker themselves."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models


class Snapshot(models.Model):
    """The last readings of the observer."""

    ONLY = 1
    """Its primary key: there is one observer."""

    id: models.PositiveSmallIntegerField[int, int] = models.PositiveSmallIntegerField(
        primary_key=True, default=ONLY
    )
    taken_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """When they were written."""
    good_for: models.FloatField[float, float] = models.FloatField()
    """Seconds for which they are true; afterwards the observer has gone."""
    readings = models.JSONField()
    """List of metric, labels, value."""

    objects: ClassVar[models.Manager[Snapshot]] = models.Manager()

    class Meta:
        app_label = "etl_telemetry"

    def __str__(self) -> str:
        return f"readings of {self.taken_at:%Y-%m-%d %H:%M:%S}"
