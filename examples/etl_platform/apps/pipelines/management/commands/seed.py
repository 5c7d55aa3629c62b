"""`manage.py seed`: users, organizations, connectors, pipelines, schedules."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.pipelines.seeding import seed


class Command(BaseCommand):
    """Create the platform's world."""

    help = "Create the demo user, 16 organizations and their pipelines; prints the password."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the password and the format."""
        parser.add_argument("--password", default="", help="of the demo user; default: random")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, password: str, **options: Any) -> None:
        """Create what is missing and print how to sign in."""
        created = seed(password)
        if options["json"]:
            self.stdout.write(json.dumps(created))
            return
        self.stdout.write(
            f"{created['organizations']} organizations, {created['pipelines']} pipelines\n"
            f"sign in as:  {created['username']}\n"
            f"password:    {created['password'] or '(unchanged)'}\n"
            f"API token:   {created['token']}"
        )
