"""The table of alerts: one row for each piece of news, a begin or an end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from django.db import models

from etl_telemetry.django.alerts.payload import FIRING, RESOLVED

MAX_TEXT = 255
"""Characters of a text that can be searched for; labels and annotations are kept whole."""


class Alert(models.Model):
    """What Alertmanager told about one alert: that it began, or that it ended.

    A begin and its end are two rows, so that each is written once and never changed by the other,
    in whatever order they arrive. `queries` puts them together.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    fingerprint: models.CharField[str, str] = models.CharField(max_length=64)
    """Same for the same labels."""
    status: models.CharField[str, str] = models.CharField(
        max_length=16, choices=[(FIRING, FIRING), (RESOLVED, RESOLVED)]
    )
    """`firing` or `resolved`."""
    starts_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """When it began."""
    ends_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True
    )
    """When it ended; None on a begin."""
    labels = models.JSONField()
    """What identifies it, whole."""
    annotations = models.JSONField()
    """What is told about it, whole, as it was told last."""
    generator_url: models.TextField[str, str] = models.TextField()
    """Where the rule can be seen; empty where that is not told."""
    external_url: models.TextField[str, str] = models.TextField()
    """Address of the Alertmanager that sent it."""
    receiver: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Receiver in Alertmanager's configuration."""
    name: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Label `alertname`."""
    severity: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Label `severity`; empty where there is none."""
    organization: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Organization that it names; empty for the platform as a whole."""
    pipeline_name: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Pipeline that it names; empty where it names none."""
    run_id: models.CharField[str, str] = models.CharField(max_length=MAX_TEXT)
    """Run that it names; empty where it names none."""
    trace_id: models.CharField[str, str] = models.CharField(max_length=32)
    """Trace that it names, else the one of its run; empty where there is none."""
    received_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """When this news arrived first."""
    heard_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """When it was told last: Alertmanager repeats what goes on."""
    delivery: models.UUIDField[UUID, UUID] = models.UUIDField(editable=False, db_index=True)
    """Request that brought it first."""

    objects: ClassVar[models.Manager[Alert]] = models.Manager()

    class Meta:
        """Where and how it is kept."""

        app_label = "etl_telemetry"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["fingerprint", "starts_at", "status"], name="etl_telemetry_alert_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["heard_at"], name="etl_telemetry_alert_heard"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.status} since {self.starts_at:%Y-%m-%d %H:%M:%S}"

    @property
    def summary(self) -> str:
        """The annotation `summary`, else `description`, else nothing."""
        told: Mapping[str, str] = self.annotations
        return told.get("summary") or told.get("description") or ""

    @property
    def links(self) -> dict[str, str]:
        """Links for people by what they lead to; only such that are safe to click.

        `rule`, `alertmanager`, `runbook` (annotation `runbook_url`), `dashboard`
        (`dashboard_url`); what is not told or is not http(s) is left out.
        """
        told: Mapping[str, Any] = self.annotations
        found = {
            "rule": self.generator_url,
            "alertmanager": self.external_url,
            "runbook": told.get("runbook_url", ""),
            "dashboard": told.get("dashboard_url", ""),
        }
        return {name: url for name, url in found.items() if _is_safe(url)}


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
