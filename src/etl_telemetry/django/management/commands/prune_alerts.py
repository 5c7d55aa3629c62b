"""`manage.py prune_alerts`."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.alerts.store import prune


class Command(BaseCommand):
    """Delete alerts that were not heard of for long; so does each delivery."""

    help = "Delete alerts that were not heard of for long. So does each delivery."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take another number of days than the configured one."""
        parser.add_argument("--days", type=int, help="default: ETL_TELEMETRY_ALERT_RETENTION_DAYS")

    def handle(self, *, days: int | None, **_: object) -> None:
        """Delete, and say how many."""
        telemetry = setup.active()
        config = Config() if telemetry is None else telemetry.config
        deleted = prune(config.alert_retention_days if days is None else days)
        self.stdout.write(f"{deleted} alerts deleted")
