"""Hourly weather: one airport, file -> warehouse."""

from __future__ import annotations

from celery import shared_task
from django.db import transaction

from apps.connectors import files
from apps.pipelines import staging
from apps.pipelines.models import PipelineRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask, open_run
from apps.warehouse.bulk import insert_csv
from apps.warehouse.models import Observation
from etl_telemetry.django.ledger import finish_run
from nyc import weather
from nyc.weather import OBSERVATION, SOURCE_COLUMNS


@shared_task(base=RunTask)
def extract_weather(*, run_id: str, pipeline_name: str) -> None:
    """Copy the airport's observations to the staging area, and say how far it is."""
    run = open_run(run_id)
    expected = files.count_rows(run.pipeline.source)
    with counted_step("extract") as tally:
        with (
            files.read_csv(run.pipeline.source, SOURCE_COLUMNS) as (rows, columns),
            staging.writing(run_id, "extracted.csv") as target,
        ):
            told = tally.reading(rows, expected=expected)
            tally.add(weather.extract(told, columns, put=target.writerow))


@shared_task(base=RunTask)
def transform_weather(*, run_id: str, pipeline_name: str) -> None:
    """Keep one observation per hour."""
    with counted_step("transform") as tally:
        with (
            staging.reading(run_id, "extracted.csv") as rows,
            staging.writing(run_id, "observations.csv") as target,
        ):
            tally.add(weather.transform(rows, put=target.writerow))


@shared_task(base=RunTask)
def load_weather(*, run_id: str, pipeline_name: str) -> None:
    """Replace the airport's observations in the warehouse, in one transaction."""
    run = open_run(run_id)
    with counted_step("load") as tally:
        with transaction.atomic():
            Observation.objects.filter(origin=run.pipeline.options["origin"]).delete()
            path = staging.folder(run_id) / "observations.csv"
            tally.read = tally.processed = insert_csv(Observation, OBSERVATION, path, nulls=True)
    finish_run(run_id, PipelineRun.Status.SUCCESS)
    staging.discard(run_id)
