"""Connections that the processes themselves hold, of a service or of all."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import quantile
from etl_telemetry.ops.dashboards.model import Metrics, Panel


def of_processes(where: str, *, width: int) -> tuple[Panel, ...]:
    """Return the panels of the processes' connections, of the series that ``where`` selects."""
    connected = quantile(0.95, "database_connect_duration_seconds", where, "database_alias")
    return (
        Panel(
            "Time to get a connection",
            "95 % took less, from the server or the pool.",
            (Metrics(connected, "{{database_alias}}"),),
            unit="s", width=width, empty="No connection was made",
        ),
        Panel(
            "Connections of processes",
            "Held open by processes, by what they do.",
            (Metrics(f"sum by (state) (database_client_connections{{{where}}})", "{{state}}"),),
            "share", width=width,
        ),
        Panel(
            "Connection pools",
            "Connections of the pools by state, and threads that wait for one.",
            (Metrics(f"sum by (state) (database_pool_connections{{{where}}})", "{{state}}"),
             Metrics(f"sum(database_pool_waiting{{{where}}})", "waiting")),
            width=width, empty="No pool",
        ),
    )  # fmt: skip
