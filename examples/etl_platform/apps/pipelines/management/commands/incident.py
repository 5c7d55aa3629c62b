"""`manage.py incident`: make things go wrong on purpose, to see what telemetry shows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.pipelines.incidents import INCIDENTS
from apps.pipelines.workers import IncidentError


class Command(BaseCommand):
    """Stage an incident."""

    help = "Make something go wrong: " + ", ".join(INCIDENTS)

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the incident's name."""
        parser.add_argument("incident", choices=sorted(INCIDENTS))

    def handle(self, *, incident: str, **options: Any) -> None:
        """Stage it, and say what was done."""
        try:
            self.stdout.write(INCIDENTS[incident]())
        except IncidentError as error:
            raise CommandError(str(error)) from error
