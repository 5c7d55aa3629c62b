"""Fleet registry: a vendor's file of planes -> warehouse.

The vendor renamed the column `tailnum` to `tail_number`. So the extract fails, at once
and for good: trying again would not bring the column back. The run's error says which
column is missing, which one it probably became, and what to do.
"""

from __future__ import annotations

from celery import shared_task
from django.db import transaction

from apps.connectors import files
from apps.pipelines import staging
from apps.pipelines.models import PipelineRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask, open_run
from apps.warehouse.bulk import insert_csv
from apps.warehouse.models import Plane
from etl_telemetry.django.ledger import finish_run

SOURCE_COLUMNS = ("tailnum", "manufacturer", "model", "seats")
LOADED = ("carrier", *SOURCE_COLUMNS)


@shared_task(base=RunTask)
def extract_fleet(*, run_id: str, pipeline_name: str) -> None:
    """Copy the vendor's rows to the staging area."""
    run = open_run(run_id)
    with counted_step("extract") as tally:
        with (
            files.read_csv(run.pipeline.source, SOURCE_COLUMNS) as (rows, columns),
            staging.writing(run_id, "extracted.csv") as target,
        ):
            for row in rows:
                target.writerow([row[index] for index in columns])
                tally.read += 1
            tally.processed = tally.read


@shared_task(base=RunTask)
def transform_fleet(*, run_id: str, pipeline_name: str) -> None:
    """Reject planes without seats, and say whose planes they are."""
    carrier = open_run(run_id).pipeline.options["carrier"]
    with counted_step("transform") as tally:
        with (
            staging.reading(run_id, "extracted.csv") as rows,
            staging.writing(run_id, "planes.csv") as target,
        ):
            for row in rows:
                tally.read += 1
                if row[-1].isdigit():
                    target.writerow([carrier, *row])
                    tally.processed += 1
                else:
                    tally.reject("no_seats")


@shared_task(base=RunTask)
def load_fleet(*, run_id: str, pipeline_name: str) -> None:
    """Replace the carrier's fleet in the warehouse, in one transaction."""
    run = open_run(run_id)
    with counted_step("load") as tally:
        with transaction.atomic():
            Plane.objects.filter(carrier=run.pipeline.options["carrier"]).delete()
            path = staging.folder(run_id) / "planes.csv"
            tally.read = tally.processed = insert_csv(Plane, LOADED, path)
    finish_run(run_id, PipelineRun.Status.SUCCESS)
    staging.discard(run_id)
