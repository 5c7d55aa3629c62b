"""`manage.py run_pipeline`: start runs from the command line, and wait for them."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.pipelines import services
from apps.pipelines.models import Pipeline, PipelineRun


class Command(BaseCommand):
    """Start runs of pipelines by name."""

    help = "Start a run of each named pipeline."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the names, and whether to wait."""
        parser.add_argument("names", nargs="+", metavar="pipeline")
        parser.add_argument("--wait", action="store_true", help="until the runs have ended")

    def handle(self, *, names: list[str], wait: bool, **options: Any) -> None:
        """Start the runs in one transaction: all of them, or none."""
        pipelines = Pipeline.objects.in_bulk(names, field_name="name")
        unknown = [name for name in names if name not in pipelines]
        if unknown:
            raise CommandError(f"There is no pipeline {', '.join(unknown)}. Fix: manage.py seed")
        with transaction.atomic():
            trigger = PipelineRun.Trigger.COMMAND
            runs = [services.trigger(pipelines[name], trigger_type=trigger) for name in names]
        for run in runs:
            self.stdout.write(f"{run.pipeline.name}: run {run.pk}")
        while wait and any(self._is_active(run) for run in runs):
            time.sleep(0.2)
        if wait:
            for run in runs:
                self.stdout.write(f"{run.pipeline.name}: {run.status}  {run.error}".rstrip())

    @staticmethod
    def _is_active(run: PipelineRun) -> bool:
        run.refresh_from_db()
        return run.is_active
