"""`manage.py audit_prune`: delete old audit events so that the rest can still be verified."""

from __future__ import annotations

from argparse import ArgumentParser
from time import time_ns
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from etl_telemetry.django.audit import store
from etl_telemetry.django.audit.pruning import prune

_DAY = 24 * 60 * 60 * 1_000_000


class Command(BaseCommand):
    """Delete what is older than some days and was exported; the deletion is an event itself."""

    help = "Delete old audit events; what is left can still be verified."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say which options there are."""
        parser.add_argument(
            "--older-than", type=float, required=True, metavar="DAYS", help="age in days"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the database")

    def handle(self, *args: Any, older_than: float, database: str, **options: Any) -> None:
        """Delete."""
        if older_than < 0:
            raise CommandError(f"--older-than must be at least 0, got {older_than:g}")
        if not store.is_migrated(database):
            raise CommandError(f"the database {database!r} has no audit table: run migrate")
        before = time_ns() // 1_000 - int(older_than * _DAY)
        self.stdout.write(f"{prune(database, before_us=before)} events deleted")
