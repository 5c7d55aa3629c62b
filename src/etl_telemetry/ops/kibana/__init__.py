"""Kibana: data views, searches, charts and dashboards, as one file to import."""

from __future__ import annotations

from collections.abc import Mapping

from etl_telemetry.ops.kibana import audit_trail, failures, log_volume, saved, slow_requests
from etl_telemetry.ops.kibana.model import Chart, Dashboard, Search
from etl_telemetry.ops.kibana.views import VIEWS

__all__ = ["DASHBOARDS", "FILE", "SEARCHES", "VIEWS", "files", "objects"]

FILE = "etl.ndjson"
DASHBOARDS: tuple[Dashboard, ...] = (
    failures.DASHBOARD,
    log_volume.DASHBOARD,
    slow_requests.DASHBOARD,
    audit_trail.DASHBOARD,
)
SEARCHES: tuple[Search, ...] = (failures.FAILED_RUNS, failures.RUN_RECORDS, audit_trail.FAILURES)
"""Searches that are on no dashboard."""


def objects(*, jaeger: str) -> list[saved.SavedObject]:
    """Return every saved object; what one needs comes before it."""
    panels = {panel.id: panel for board in DASHBOARDS for row in board.rows for panel in row}
    panels |= {search.id: search for search in SEARCHES}
    return [
        *(saved.data_view(view, jaeger=jaeger) for view in VIEWS),
        *(_panel(panel) for panel in panels.values()),
        *(saved.dashboard(board) for board in DASHBOARDS),
    ]


def files(*, jaeger: str) -> Mapping[str, str]:
    """Return the file that Kibana imports, by its name."""
    return {FILE: saved.lines(objects(jaeger=jaeger))}


def _panel(panel: Chart | Search) -> saved.SavedObject:
    return saved.search(panel) if isinstance(panel, Search) else saved.chart(panel)
