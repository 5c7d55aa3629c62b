"""Carrier delay report: extract, then a chord of one transform per month, then load."""

from __future__ import annotations

import json

from celery import shared_task
from django.conf import settings
from django.db import transaction

from apps.pipelines import staging
from apps.pipelines.models import PipelineRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask, open_run
from apps.warehouse import queries
from apps.warehouse.models import DelayLine
from etl_telemetry.django.ledger import finish_run
from nyc import delays, landing

MONTHS = range(1, 13)


@shared_task(base=RunTask)
def extract_delays(*, run_id: str, pipeline_name: str) -> None:
    """Stage the carrier's scheduled flights by month, flown or set aside."""
    run = open_run(run_id)
    with counted_step("extract") as tally:
        flights = queries.scheduled(run.pipeline.source, run.pipeline.options["carrier"])
        months = delays.by_month(flights)
        for month in MONTHS:
            with staging.writing(run_id, f"month-{month:02}.csv") as target:
                target.writerows(months.get(month, ()))
            tally.read += len(months.get(month, ()))
        tally.processed = tally.read


@shared_task(base=RunTask, ignore_result=False)
def transform_month(*, run_id: str, pipeline_name: str, month: int) -> int:
    """Join a month's flights with planes and weather, and aggregate their delays."""
    run = open_run(run_id)
    planes = landing.planes(settings.DATA_DIR)
    with staging.reading(run_id, f"month-{month:02}.csv") as rows:
        flights = [delays.scheduled(row) for row in rows]
    with counted_step("join_planes") as tally:
        tally.add(delays.join_planes(flights, planes))
    with counted_step("join_weather") as tally:
        rain = queries.rain(run.pipeline.source, month)
        tally.add(delays.join_weather(flights, rain))
    with counted_step("transform") as tally:
        lines, counts = delays.aggregate(flights, planes=planes, rain=rain)
        with staging.replacing(staging.folder(run_id) / f"lines-{month:02}.json") as stream:
            json.dump(lines, stream)
        tally.add(counts)
    return len(lines)


@shared_task(base=RunTask)
def load_delays(*, run_id: str, pipeline_name: str) -> None:
    """Replace the carrier's report in the warehouse, in one transaction."""
    run = open_run(run_id)
    carrier = run.pipeline.options["carrier"]
    folder = staging.folder(run_id)
    lines = [
        DelayLine(carrier=carrier, month=month, **line)
        for month in MONTHS
        for line in json.loads((folder / f"lines-{month:02}.json").read_text(encoding="utf-8"))
    ]
    with counted_step("load") as tally:
        with transaction.atomic():
            DelayLine.objects.filter(carrier=carrier).delete()
            DelayLine.objects.bulk_create(lines)
        tally.read = tally.processed = len(lines)
    finish_run(run_id, PipelineRun.Status.SUCCESS)
    staging.discard(run_id)
