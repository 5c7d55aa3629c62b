"""The ledger's own tables, in each database that has runs.

Times are whole microseconds since 1970: the same whether the project keeps its times
aware or naive, and exact in a sum.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from etl_telemetry.metrics.labels import MAX_LENGTH
from etl_telemetry.pipelines.inputs import MAX_ID

_STATUS_LENGTH = 16


class RunEnd(models.Model):
    """The outbox: a run that ended, written in the transaction that ended it.

    Its facts are copied. What a run is counted as must not change when its pipeline is
    renamed before it is counted.
    """

    WRITTEN, COUNTED, REPORTED = 0, 1, 2
    """Stages: in the outbox; added to the totals; exported."""

    id = models.BigAutoField(primary_key=True)
    run_id = models.CharField(max_length=MAX_ID, unique=True)
    pipeline = models.CharField(max_length=MAX_LENGTH)
    organization = models.CharField(max_length=MAX_LENGTH)
    status = models.CharField(max_length=_STATUS_LENGTH)
    trigger = models.CharField(max_length=MAX_LENGTH, blank=True)
    triggered_by = models.CharField(max_length=MAX_LENGTH, blank=True)
    attempt = models.PositiveIntegerField(null=True)
    started_us = models.BigIntegerField(null=True)
    finished_us = models.BigIntegerField()
    error = models.TextField(blank=True)
    error_type = models.CharField(max_length=MAX_LENGTH, blank=True)
    links = models.JSONField(default=list)
    is_change = models.BooleanField()
    """Whether it was written with the change of state itself, rather than found afterwards."""
    is_dated = models.BooleanField()
    """Whether the host's table says when it ended. Else this row must stay: it alone knows."""
    is_audited = models.BooleanField(default=False)
    """Whether its audit event was kept with its count."""
    written_us = models.BigIntegerField()
    stage = models.PositiveSmallIntegerField(default=WRITTEN)

    class Meta:
        app_label = "etl_telemetry"
        verbose_name = "ended run"
        indexes = (
            models.Index(fields=("stage", "id"), condition=Q(stage__lt=2), name="etl_run_outbox"),
        )

    def __str__(self) -> str:
        return f"{self.pipeline} {self.run_id}: {self.status}"


class RunTotal(models.Model):
    """The counters: what was counted of one pipeline and status, since the ledger began."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=64, unique=True)
    """SHA-256 of the three names: MySQL takes `Daily`, `daily` and `dáily` for one."""
    pipeline = models.CharField(max_length=MAX_LENGTH)
    organization = models.CharField(max_length=MAX_LENGTH)
    status = models.CharField(max_length=_STATUS_LENGTH)
    count = models.BigIntegerField(default=0)
    microseconds = models.BigIntegerField(default=0)
    buckets = models.JSONField()
    announced = models.BooleanField(default=False)
    """Whether it was exported: before that, a zero goes first."""

    class Meta:
        app_label = "etl_telemetry"
        verbose_name = "total of runs"
        verbose_name_plural = "totals of runs"

    def __str__(self) -> str:
        return f"{self.pipeline} {self.status}: {self.count}"


class Ledger(models.Model):
    """The ledger of this database: one row."""

    ONLY = 1
    """Its primary key."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    began_us = models.BigIntegerField()
    """When it began: where the series begin."""
    counted_from_us = models.BigIntegerField()
    """A run that ended before this and was not changed by us is history: it is not counted."""
    holder = models.CharField(max_length=64, blank=True)
    """Which process drains it."""
    held_until_us = models.BigIntegerField(default=0)
    """When another one may."""

    class Meta:
        app_label = "etl_telemetry"
        verbose_name_plural = "ledger"

    def __str__(self) -> str:
        return f"ledger of {self.holder or 'nobody'}"
