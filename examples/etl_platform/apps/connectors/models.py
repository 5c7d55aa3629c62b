"""Connectors: where a pipeline gets its data, and with which credentials."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.accounts.models import Organization

MASK = "********"


class Connector(models.Model):
    """A source of data. `options` say where it is, `credentials` are never shown."""

    class Kind(models.TextChoices):
        FILE = "file", "File"
        SQL = "sql", "SQL database"
        HTTP = "http", "HTTP API"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="connectors"
    )
    name = models.SlugField(max_length=100)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text='file: {"path": "flights/UA-EWR.csv", "columns": {"new": "old"}}; '
        'sql: {"database": "default"}; http: {"url": "{platform}/api/reference/airports"}',
    )
    credentials = models.JSONField(default=dict, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("organization", "name")
        constraints = (
            models.UniqueConstraint(fields=("organization", "name"), name="one_connector_name"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"

    def masked_credentials(self) -> dict[str, Any]:
        """Return the names of the credentials, with their values hidden."""
        return dict.fromkeys(self.credentials, MASK)

    def take_credentials(self, entered: dict[str, Any]) -> None:
        """Store what a form sent; a value that is still masked keeps what was there."""
        self.credentials = {
            name: self.credentials.get(name, "") if value == MASK else value
            for name, value in entered.items()
        }
