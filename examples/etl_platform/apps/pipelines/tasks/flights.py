"""Daily flights load: one carrier at one airport, file -> warehouse."""

from __future__ import annotations

from celery import shared_task
from django.db import transaction

from apps.connectors import files
from apps.pipelines import staging
from apps.pipelines.models import PipelineRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask, open_run
from apps.warehouse.bulk import insert_csv
from apps.warehouse.models import Flight, QuarantinedFlight
from etl_telemetry.django.ledger import finish_run
from nyc import flights
from nyc.flights import FLOWN, QUARANTINED, SOURCE_COLUMNS

YEAR = ("2013-01-01", "2013-12-31")


def window_of(run: PipelineRun) -> tuple[str, str]:
    """Return the first and the last day to load: the whole year unless the run says less."""
    return run.options.get("since", YEAR[0]), run.options.get("until", YEAR[1])


@shared_task(base=RunTask)
def extract_flights(*, run_id: str, pipeline_name: str) -> None:
    """Copy the window's rows from the carrier's file to the staging area."""
    run = open_run(run_id)
    since, until = window_of(run)
    with counted_step("extract") as tally:
        with (
            files.read_csv(run.pipeline.source, SOURCE_COLUMNS) as (rows, columns),
            staging.writing(run_id, "extracted.csv") as target,
        ):
            tally.add(flights.extract(rows, columns, since=since, until=until, put=target.writerow))


@shared_task(base=RunTask)
def transform_flights(*, run_id: str, pipeline_name: str) -> None:
    """Separate flights that were flown from those to set aside."""
    with counted_step("transform") as tally:
        with (
            staging.reading(run_id, "extracted.csv") as rows,
            staging.writing(run_id, "flown.csv") as flown,
            staging.writing(run_id, "quarantined.csv") as quarantined,
        ):
            tally.add(
                flights.transform(rows, flown=flown.writerow, quarantined=quarantined.writerow)
            )


@shared_task(base=RunTask)
def load_flights(*, run_id: str, pipeline_name: str) -> None:
    """Replace the window's rows in the warehouse, in one transaction."""
    run = open_run(run_id)
    files_folder = staging.folder(run_id)
    with counted_step("load") as tally:
        with transaction.atomic():
            for model in (Flight, QuarantinedFlight):
                model.objects.filter(
                    carrier=run.pipeline.options["carrier"],
                    origin=run.pipeline.options["origin"],
                    day__range=window_of(run),
                ).delete()
            loaded = insert_csv(Flight, FLOWN, files_folder / "flown.csv")
            insert_csv(QuarantinedFlight, QUARANTINED, files_folder / "quarantined.csv")
        tally.read = tally.processed = loaded
    finish_run(run_id, PipelineRun.Status.SUCCESS)
    staging.discard(run_id)
