"""GET /api/v1/...: the query API as JSON, documented in docs/reference/viewer-api.md."""

from __future__ import annotations

from etl_telemetry.viewer.http import Route
from etl_telemetry.viewer.query import Query


def routes(query: Query) -> list[Route]:
    """Return the routes that answer from `query`."""
    return []
