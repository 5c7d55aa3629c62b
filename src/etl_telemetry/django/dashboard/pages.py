"""The pages."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse

from etl_telemetry.django.dashboard import charts, doors, questions, runs
from etl_telemetry.django.dashboard.addresses import address
from etl_telemetry.django.dashboard.doors import Visit, no_such
from etl_telemetry.django.dashboard.ordering import BY_NAME, Column, columns
from etl_telemetry.django.dashboard.rendering import render


@doors.page
def overview(visit: Visit) -> HttpResponse:
    """Show the figures of all pipelines, and the table of them."""
    asked = questions.overview(visit.access, visit.window)
    found = questions.pipeline_page(
        visit.access,
        visit.window,
        number=visit.number,
        search=visit.search,
        order=visit.order,
    )
    rows = [(row, _pipeline(visit, row.figures.pipeline_id)) for row in found.rows]
    busiest = [(each, _pipeline(visit, each.pipeline_id)) for each in asked.system.top_pipelines]
    return render(
        visit.request,
        "overview.html",
        {
            "window": visit.window.text,
            "search": visit.search,
            "order": "" if visit.order == BY_NAME else visit.order,
            "columns": [(each, _ordered(visit, each)) for each in columns(visit.order)],
            "asked": asked,
            "charts": charts.of(asked.series),
            "rows": rows,
            "busiest": busiest,
            "most": max((each.total_runs for each, _ in busiest), default=0),
            "found": found,
            "previous": _query(visit, found.number - 1) if found.number > 1 else "",
            "following": _query(visit, found.number + 1) if found.number < found.pages else "",
        },
    )


@doors.page
def pipeline(visit: Visit, key: str) -> HttpResponse:
    """Show one pipeline with its runs, their steps and rejected rows."""
    row = questions.pipeline_row(visit.access, visit.window, key)
    if row is None:
        raise no_such()
    series = questions.series_of(row, visit.window)
    found = runs.run_page(row, number=visit.number)
    return render(
        visit.request,
        "pipeline.html",
        {
            "window": visit.window.text,
            "row": row,
            "series": series,
            "charts": charts.of(series),
            "alerts": questions.alerts_of(visit.access, row),
            "runs": found,
            "previous": _query(visit, found.number - 1) if found.number > 1 else "",
            "following": _query(visit, found.number + 1) if found.more else "",
        },
    )


def _pipeline(visit: Visit, key: object) -> str:
    window = urlencode({"window": visit.window.text})
    return f"{address(visit.request, 'pipeline', key=str(key))}?{window}"


def _ordered(visit: Visit, column: Column) -> str:
    return _query(visit, 0, column.order) if column.order else ""


def _query(visit: Visit, number: int, order: str | None = None) -> str:
    order = visit.order if order is None else order
    asked = {
        "window": visit.window.text,
        "q": visit.search,
        "sort": "" if order == BY_NAME else order,
        "page": number,
    }
    return "?" + urlencode({name: value for name, value in asked.items() if value})
