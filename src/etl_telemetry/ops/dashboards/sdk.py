"""Grafana's own models of its format, from grafana-foundation-sdk."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # The module of the format that Grafana reads from files says, where it is imported, that there
    # is a newer one. That one is for the API of Grafana 12 and later.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.runtime import UnknownDataquery
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import (
        bargauge,
        common,
        dashboard,
        elasticsearch,
        heatmap,
        logs,
        prometheus,
        stat,
        table,
        timeseries,
    )

__all__ = [
    "Dataquery", "JSONEncoder", "UnknownDataquery", "bargauge", "common", "dashboard",
    "elasticsearch", "heatmap", "logs", "prometheus", "stat", "table", "timeseries",
]  # fmt: skip
