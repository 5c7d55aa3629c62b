"""Airports enrichment: a paginated HTTP API and the flights -> routes with their airports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from celery import shared_task
from django.db import transaction

from apps.connectors import http
from apps.pipelines import staging
from apps.pipelines.models import PipelineRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask, open_run
from apps.warehouse import queries
from apps.warehouse.models import Route
from etl_telemetry import span
from etl_telemetry.django.ledger import finish_run
from nyc import airports


@shared_task(base=RunTask)
def extract_airports(*, run_id: str, pipeline_name: str) -> None:
    """Fetch all pages.

    Pages that are there stay there: when the API asks to come back later (429), the
    retry goes on where this delivery stopped.
    """
    run = open_run(run_id)
    folder = staging.folder(run_id)
    with counted_step("extract") as tally, http.session(run.pipeline.source) as session:
        number, last = 1, 1
        while number <= last:
            page = _page(session, run.pipeline.source, folder, number)
            tally.read += len(page["results"])
            last = page["pages"]
            number += 1
        tally.processed = tally.read


def _page(session: Any, connector: Any, folder: Path, number: int) -> dict[str, Any]:
    path = folder / f"page-{number:03}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    page = http.get_page(session, connector, number)
    with staging.replacing(path) as stream:
        json.dump(page, stream)
    return page


@shared_task(base=RunTask)
def transform_airports(*, run_id: str, pipeline_name: str) -> None:
    """Match the destinations of the carrier's flights with the airports."""
    run = open_run(run_id)
    folder = staging.folder(run_id)
    pages = sorted(folder.glob("page-*.json"))
    known = {}
    with span("read staged pages", pages=len(pages)):
        for path in pages:
            page = json.loads(path.read_text(encoding="utf-8"))
            known.update((airport["faa"], airport) for airport in page["results"])
    with counted_step("transform") as tally:
        traffic = queries.traffic(warehouse_of(run), run.pipeline.options["carrier"])
        routes, counts = airports.enrich(traffic, known)
        with staging.replacing(folder / "routes.json") as stream:
            json.dump(routes, stream)
        tally.add(counts)


def warehouse_of(run: PipelineRun) -> Any:
    """Return the organization's connector to the warehouse."""
    return run.pipeline.organization.connectors.get(name="warehouse")


@shared_task(base=RunTask)
def load_airports(*, run_id: str, pipeline_name: str) -> None:
    """Replace the carrier's routes in the warehouse, in one transaction."""
    run = open_run(run_id)
    carrier = run.pipeline.options["carrier"]
    routes = json.loads((staging.folder(run_id) / "routes.json").read_text(encoding="utf-8"))
    with counted_step("load") as tally:
        with transaction.atomic():
            Route.objects.filter(carrier=carrier).delete()
            Route.objects.bulk_create(Route(carrier=carrier, **route) for route in routes)
        tally.read = tally.processed = len(routes)
    finish_run(run_id, PipelineRun.Status.SUCCESS)
    staging.discard(run_id)
