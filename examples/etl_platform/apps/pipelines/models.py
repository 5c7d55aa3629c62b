"""Pipelines, their schedules, their runs, and the deliveries of their tasks."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from apps.accounts.models import Organization, User
from apps.connectors.models import Connector


class Pipeline(models.Model):
    """What is done with the data of a connector, for an organization."""

    class Kind(models.TextChoices):
        FLIGHTS = "flights", "Daily flights load"
        WEATHER = "weather", "Hourly weather"
        AIRPORTS = "airports", "Airports enrichment"
        DELAYS = "delays", "Carrier delay report"
        FLEET = "fleet", "Fleet registry"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="pipelines"
    )
    name = models.SlugField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    source = models.ForeignKey(Connector, on_delete=models.PROTECT, related_name="pipelines")
    options = models.JSONField(
        default=dict, blank=True, help_text='For instance {"carrier": "UA", "origin": "EWR"}'
    )
    stage = models.PositiveSmallIntegerField(
        default=1, help_text="Pipelines of stage 2 read what those of stage 1 have loaded."
    )
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("stage", "name")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def visible_to(cls, user: User) -> models.QuerySet[Pipeline]:
        """Return the pipelines of the user's organizations."""
        return cls.objects.filter(organization__in=user.visible_organizations()).select_related(
            "organization"
        )


class Schedule(models.Model):
    """When a pipeline runs by itself. Kept in step with django-celery-beat."""

    pipeline = models.OneToOneField(Pipeline, on_delete=models.CASCADE, related_name="schedule")
    minute = models.CharField(max_length=64, default="0")
    hour = models.CharField(max_length=64, default="*")
    day_of_month = models.CharField(max_length=64, default="*")
    enabled = models.BooleanField(default=True)
    # No way back: `PeriodicTask.schedule` is django-celery-beat's own, and beat lives on it.
    periodic_task = models.OneToOneField(
        PeriodicTask, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.minute} {self.hour} {self.day_of_month} * *"

    def save(self, **kwargs: Any) -> None:
        """Save, and tell beat."""
        crontab, _ = CrontabSchedule.objects.get_or_create(
            minute=self.minute, hour=self.hour, day_of_month=self.day_of_month,
            day_of_week="*", month_of_year="*", timezone=settings.TIME_ZONE,
        )  # fmt: skip
        self.periodic_task, _ = PeriodicTask.objects.update_or_create(
            name=f"pipeline {self.pipeline.name}",
            defaults={
                "task": "apps.pipelines.tasks.runs.start_scheduled_run",
                "crontab": crontab,
                "enabled": self.enabled,
                "kwargs": json.dumps({"pipeline_name": self.pipeline.name}),
            },
        )
        super().save(**kwargs)

    def delete(self, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and tell beat."""
        if self.periodic_task is not None:
            self.periodic_task.delete()
        return super().delete(**kwargs)


class PipelineRun(models.Model):
    """One execution of a pipeline: the platform's own truth about it."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        RUNNING = "running", "Running"
        SUCCESS = "success", "Success"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        LOST = "lost", "Lost"

    class Trigger(models.TextChoices):
        MANUAL = "manual", "Manual"
        API = "api", "API"
        SCHEDULE = "schedule", "Schedule"
        RETRY = "retry", "Run again"
        COMMAND = "command", "Command"

    ACTIVE = (Status.PENDING, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="runs")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    trigger_type = models.CharField(max_length=16, choices=Trigger.choices)
    triggered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    attempt = models.PositiveSmallIntegerField(default=1)
    options = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    task_ids = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("-started_at",)
        # What the figures and the ledger of `etl_telemetry` ask for.
        indexes = (
            models.Index(
                fields=("pipeline", "started_at"),
                include=("status", "finished_at", "id"),
                name="run_window",
            ),
            models.Index(fields=("pipeline", "status", "finished_at"), name="run_last_success"),
            models.Index(fields=("finished_at",), name="run_ended"),
            models.Index(
                fields=("status",),
                condition=models.Q(status__in=("pending", "running")),
                name="run_active",
            ),
        )

    def __str__(self) -> str:
        return f"{self.pipeline} {self.id}"

    @property
    def is_active(self) -> bool:
        """Say whether the run has still to end."""
        return self.status in self.ACTIVE

    @property
    def seconds(self) -> float | None:
        """Return how long the run took, or None while it is active."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def triggered_by_reference(self) -> str | None:
        """Return who triggered the run as telemetry may know it: an id, never a name."""
        return str(self.triggered_by_id) if self.triggered_by_id else None

    def trace_url(self) -> str:
        """Return the address of the run's trace, if the platform knows a trace viewer."""
        template = settings.TRACE_URL
        return template.format(trace_id=self.trace_id) if template and self.trace_id else ""


class TaskRun(models.Model):
    """One delivery of a Celery task: a row whatever becomes of it."""

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        SUCCESS = "success", "Success"
        FAILED = "failed", "Failed"
        RETRIED = "retried", "Retried"
        REVOKED = "revoked", "Revoked"
        LOST = "lost", "Lost"

    run = models.ForeignKey(
        PipelineRun, null=True, blank=True, on_delete=models.PROTECT, related_name="task_runs"
    )
    pipeline_name = models.CharField(max_length=100)
    task_id = models.CharField(max_length=64, db_index=True)
    task_name = models.CharField(max_length=200)
    task_type = models.CharField(max_length=16)
    attempt = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    worker = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    metrics = models.JSONField(
        default=dict, blank=True, help_text="Rows by step: read = processed + rejected + skipped"
    )
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("started_at", "id")

    def __str__(self) -> str:
        return f"{self.task_name} {self.task_id}"
