"""`manage.py telemetry_observer`: read shared state and report it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from etl_telemetry import observing
from etl_telemetry.django.lead import lead
from etl_telemetry.setup import setup_telemetry


class Command(BaseCommand):
    """Report queues, workers, schedules and what the database knows, until told to stop."""

    help = "Read queues, workers, schedules and runs from their truth, and report them."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        observing.configure(parser)
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            metavar="ALIAS",
            help="database whose lock makes one observer the reporter (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the observer."""
        config = setup_telemetry().config
        try:
            chosen = lead(config, alias=options["database"], path=options["lock"])
            observing.command(Namespace(**options), config, chosen, self.stdout.write)
        except observing.ObserverError as error:
            raise CommandError(str(error)) from error
