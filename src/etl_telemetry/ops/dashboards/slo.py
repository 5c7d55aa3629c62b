"""SLO: how much of the error budget of runs is left, and how fast it burns."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import (
    ENV,
    ENVIRONMENT,
    FAILED,
    each_of,
    rise,
    share,
)
from etl_telemetry.ops.dashboards.model import Column, Dashboard, Metrics, Panel, Row
from etl_telemetry.ops.rules.model import number, percent
from etl_telemetry.ops.thresholds import Thresholds

_RUNS = "pipeline_executions_total"
_MONTH = "30d"
_COUNTED = f'{ENV}, status!="cancelled"'
_BAD = f"{ENV}, {FAILED}"
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_NO_RUNS = "No runs"


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid="etl-slo",
        title="ETL platform: SLO",
        description=f"{percent(limits.slo_success)} of the runs shall succeed, over 30 days.",
        variables=(ENVIRONMENT,),
        since="now-24h",
        refresh="5m",  # A month of every run is read each time.
        rows=(Row("The last 30 days", _month(limits)), Row("Burn rate", _burn(limits))),
    )


def _month(limits: Thresholds) -> tuple[Panel, ...]:
    failed = share(f"sum({rise(_RUNS, _BAD, _MONTH)})", f"sum({rise(_RUNS, _COUNTED, _MONTH)})")
    budget = f"(1 - {number(limits.slo_success)})"
    by, lost = "sum by (organization, pipeline_name)", rise(_RUNS, _BAD, _MONTH)
    return (
        Panel(
            "Runs that succeeded",
            f"Of all but the cancelled ones. The goal is {percent(limits.slo_success)}.",
            (Metrics(f"1 - ({failed})"),),
            "value", "percentunit", width=6, empty=_NO_RUNS, now=True, decimals=2,
            limits=((0.0, "red"), (limits.slo_success, "green")),
        ),
        Panel(
            "Error budget left",
            "What may still fail, of what may fail in 30 days. Below 0 the goal is missed.",
            (Metrics(f"1 - ({failed}) / {budget}"),),
            "value", "percentunit", width=6, empty=_NO_RUNS, now=True, decimals=0,
            limits=((-1e12, "red"), (0.0, "orange"), (0.25, "green")),
        ),
        Panel(
            "Runs counted",
            "A share of few runs says little.",
            (Metrics(f"round(sum({rise(_RUNS, _COUNTED, _MONTH)}))"),),
            "value", width=4, empty=_NO_RUNS, now=True,
        ),
        Panel(
            "What the budget went to",
            "Pipelines by their share of all failed and lost runs.",
            (Metrics(f"topk(10, {each_of(f'{by} ({lost})', f'sum({lost})')})"),),
            "table", width=8, sort="Share", empty="No failed run is known",
            columns=(Column("pipeline_name", "Pipeline"), Column("organization", "Organization"),
                     Column("Value", "Share", "percentunit")),
        ),
    )  # fmt: skip


def _burn(limits: Thresholds) -> tuple[Panel, ...]:
    # Recorded by rules/slo.yml. Without a run in the window 0 / 0 is no number: no point.
    budget = f"(1 - {number(limits.slo_success)})"

    def rates(*windows: str) -> tuple[Metrics, ...]:
        return tuple(
            Metrics(
                f"max(pipeline_executions:failed:ratio_rate{window}{{{ENV}}} >= 0) / {budget}",
                window,
            )
            for window in windows
        )

    return (
        Panel(
            "Burn rate",
            "1 spends the budget in exactly 30 days. Alerts: 14.4 over 1h and 5m, 6 over 6h and "
            "30m, 3 over 1d and 2h, 1 over 3d and 6h.",
            rates(*_WINDOWS), width=16, empty=_NO_RUNS,
            limits=((1.0, "orange"), (6.0, "red"), (14.4, "dark-red")),
        ),
        Panel(
            "Now",
            "The same, at the end of the time shown.",
            rates(*_WINDOWS), "levels", width=8, empty=_NO_RUNS, now=True, decimals=1,
            limits=((1.0, "orange"), (6.0, "red"), (14.4, "dark-red")),
        ),
    )  # fmt: skip
