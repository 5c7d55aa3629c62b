"""Three tables: the events, the blocks that chain them, and where the chain stands.

The application only inserts into the first. All else is the drainer's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AuditRow(models.Model):
    """One audit event.

    Times are whole microseconds and details are text, so that what was sealed is what
    every database gives back.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    uid: models.CharField[str, str] = models.CharField(max_length=32, unique=True)
    occurred_us: models.BigIntegerField[int, int] = models.BigIntegerField()
    name: models.CharField[str, str] = models.CharField(max_length=100)
    actor: models.TextField[str, str] = models.TextField()
    organization: models.TextField[str, str] = models.TextField(blank=True)
    resource_type: models.TextField[str, str] = models.TextField()
    resource_id: models.TextField[str, str] = models.TextField()
    outcome: models.CharField[str, str] = models.CharField(max_length=10)
    details: models.TextField[str, str] = models.TextField()
    trace_id: models.CharField[str, str] = models.CharField(max_length=32, blank=True)
    span_id: models.CharField[str, str] = models.CharField(max_length=16, blank=True)
    run_id: models.TextField[str, str] = models.TextField(blank=True)
    key_id: models.CharField[str, str] = models.CharField(max_length=8)
    seal: models.CharField[str, str] = models.CharField(max_length=64)
    block: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(
        null=True, editable=False
    )

    class Meta:
        app_label = "etl_telemetry"
        verbose_name = "audit event"
        indexes = (models.Index(fields=("block", "id"), name="etl_audit_block"),)

    def __str__(self) -> str:
        return f"{self.name} {self.resource_type} {self.resource_id} by {self.actor}"

    @property
    def occurred_at(self) -> datetime:
        """When it happened, as an aware datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.occurred_us)

    @property
    def told(self) -> dict[str, Any]:
        """The details as a dictionary."""
        found: dict[str, Any] = json.loads(self.details)
        return found


class AuditBlock(models.Model):
    """Some rows that were chained together, in the order of their ids."""

    number: models.BigIntegerField[int, int] = models.BigIntegerField(primary_key=True)
    previous: models.CharField[str, str] = models.CharField(max_length=64)
    digest: models.CharField[str, str] = models.CharField(max_length=64)
    content: models.CharField[str, str] = models.CharField(max_length=64)
    rows: models.IntegerField[int, int] = models.IntegerField()
    forged: models.IntegerField[int, int] = models.IntegerField()
    newest_us: models.BigIntegerField[int, int] = models.BigIntegerField()
    chained_us: models.BigIntegerField[int, int] = models.BigIntegerField()
    exported_us: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(null=True)

    class Meta:
        app_label = "etl_telemetry"
        verbose_name = "audit block"
        indexes = (models.Index(fields=("exported_us", "number"), name="etl_audit_exported"),)

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


class AuditChain(models.Model):
    """Where the chain stands, and which process continues it: one row."""

    id: models.SmallIntegerField[int, int] = models.SmallIntegerField(primary_key=True)
    number: models.BigIntegerField[int, int] = models.BigIntegerField()
    digest: models.CharField[str, str] = models.CharField(max_length=64)
    holder: models.CharField[str, str] = models.CharField(max_length=64, blank=True)
    held_until_us: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)

    class Meta:
        app_label = "etl_telemetry"
        verbose_name = "audit chain"

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"
