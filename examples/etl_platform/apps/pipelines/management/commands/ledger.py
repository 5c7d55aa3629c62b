"""`manage.py ledger`: what really happened, to compare telemetry with."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.pipelines import ledger


class Command(BaseCommand):
    """Print the ledger."""

    help = "Print runs by status, task deliveries by type and status, rows by step."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the format."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--runs", action="store_true", help="with one entry per run")

    def handle(self, *, runs: bool, **options: Any) -> None:
        """Print the ledger as JSON, or as lines for people."""
        content = ledger.dump(with_runs=runs)
        if options["json"]:
            self.stdout.write(json.dumps(content))
            return
        for pipeline, statuses in content["runs"].items():
            ended = ", ".join(f"{number} {status}" for status, number in statuses.items())
            self.stdout.write(f"{pipeline:<28} {ended}")
            for step, rows in content["rows"].get(pipeline, {}).items():
                counts = "  ".join(f"{name} {rows[name]:>7,}" for name in ledger.COUNTS)
                self.stdout.write(f"  {step:<14} {counts}")
        self.stdout.write(
            "unfinished: "
            + ", ".join(f"{number} {what}" for what, number in content["unfinished"].items())
        )
