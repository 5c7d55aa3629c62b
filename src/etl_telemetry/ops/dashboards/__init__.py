"""Dashboards for Grafana, one file each."""

from __future__ import annotations

from collections.abc import Mapping

from etl_telemetry.ops.dashboards import (
    celery,
    database,
    django,
    health,
    overview,
    pipeline,
    slo,
)
from etl_telemetry.ops.dashboards.build import text
from etl_telemetry.ops.dashboards.model import Dashboard
from etl_telemetry.ops.thresholds import Thresholds

__all__ = ["Dashboard", "dashboards", "files"]


def dashboards(limits: Thresholds) -> tuple[Dashboard, ...]:
    """Return all dashboards."""
    rooms = (overview, pipeline, celery, django, database, health, slo)
    return tuple(room.board(limits) for room in rooms)


def files(limits: Thresholds) -> Mapping[str, str]:
    """Return the text of each dashboard's file by its name."""
    return {f"{one.uid}.json": text(one) for one in dashboards(limits)}
