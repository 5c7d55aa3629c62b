"""The JSON API, version 1: what the pages show, for programs. Names only ever get added."""

from __future__ import annotations

from typing import Any

from etl_telemetry.django.dashboard import doors, questions
from etl_telemetry.django.dashboard import runs as runs_
from etl_telemetry.django.dashboard.doors import Visit, no_such
from etl_telemetry.django.dashboard.plain import named


@doors.api
def system(visit: Visit) -> Any:
    """Return system figures, the series, what the observer knows, and alerts."""
    return {
        "window": visit.window.text,
        **named(questions.overview(visit.access, visit.window)),
    }


@doors.api
def pipelines(visit: Visit) -> Any:
    """Return a page of the table of pipelines."""
    found = questions.pipeline_page(
        visit.access,
        visit.window,
        number=visit.number,
        search=visit.search,
        order=visit.order,
    )
    return {"window": visit.window.text, **named(found)}


@doors.api
def pipeline(visit: Visit, key: str) -> Any:
    """Return one pipeline with its series and alerts."""
    row = _row(visit, key)
    return {
        "window": visit.window.text,
        **named(row),
        "series": questions.series_of(row, visit.window),
        "alerts": questions.alerts_of(visit.access, row),
    }


@doors.api
def runs(visit: Visit, key: str) -> Any:
    """Return a page of the runs of a pipeline, the latest first."""
    return runs_.run_page(_row(visit, key), number=visit.number)


@doors.api
def unknown(visit: Visit, rest: str) -> Any:
    """Say that there is no such address, or no such version."""
    raise no_such()


def _row(visit: Visit, key: str) -> questions.PipelineRow:
    found = questions.pipeline_row(visit.access, visit.window, key)
    if found is None:
        raise no_such()
    return found
