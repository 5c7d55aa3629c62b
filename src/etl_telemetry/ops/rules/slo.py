"""Alerts on how fast the error budget of runs burns: several windows, several rates.

The method, factors and windows are those of the Site Reliability Workbook, chapter 5
("Multiwindow, Multi-Burn-Rate Alerts"): a fast burn pages, a slow one is a ticket, and the
short window ends the alert soon after the burn has ended.
"""

from __future__ import annotations

from etl_telemetry.ops.rules.model import Alert, Group, Recording, Severity, number, percent
from etl_telemetry.ops.thresholds import Thresholds

_BY = "deployment_environment_name"
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_BURNS: tuple[tuple[str, str, float, Severity, str], ...] = (
    ("1h", "5m", 14.4, "critical", "2 % of the budget of 30 days within an hour"),
    ("6h", "30m", 6.0, "critical", "5 % of the budget of 30 days within six hours"),
    ("1d", "2h", 3.0, "warning", "10 % of the budget of 30 days within a day"),
    ("3d", "6h", 1.0, "warning", "10 % of the budget of 30 days within three days"),
)
"""Long window, short window, burn rate, severity, what it means."""
_MINIMUM = 10
"""Runs in the long window below which a share says nothing."""


def group(limits: Thresholds) -> Group:
    """Return the recorded shares and the alerts on them."""
    return Group("slo", (*(_ratio(window) for window in _WINDOWS), *_alerts(limits)))


def _ratio(window: str) -> Recording:
    return Recording(
        f"pipeline_executions:failed:ratio_rate{window}",
        f"""
sum by ({_BY}) (rate(pipeline_executions_total{{status=~"failed|lost"}}[{window}]))
/
sum by ({_BY}) (rate(pipeline_executions_total{{status!="cancelled"}}[{window}]))
""",
    )


def _alerts(limits: Thresholds) -> tuple[Alert, ...]:
    return tuple(
        _alert(limits, burn, name)
        for burn, name in zip(
            _BURNS,
            ("BurnRateFast", "BurnRateHigh", "BurnRateRaised", "BurnRateSlow"),
            strict=True,
        )
    )


def _alert(limits: Thresholds, burn: tuple[str, str, float, Severity, str], name: str) -> Alert:
    long, short, factor, severity, meaning = burn
    limit = f"{number(factor)} * (1 - {number(limits.slo_success)})"
    ratio = "pipeline_executions:failed:ratio_rate"
    return Alert(
        name=f"Run{name}",
        severity=severity,
        wait="2m" if severity == "critical" else "15m",
        expr=f"""
{ratio}{long} > {limit}
and
{ratio}{short} > {limit}
and
sum by ({_BY}) (increase(pipeline_executions_total{{status!="cancelled"}}[{long}])) > {_MINIMUM}
""",
        summary="{{ $value | humanizePercentage }} of the runs fail, over " + long,
        description=(
            f"The goal is that {percent(limits.slo_success)} succeed. At this rate it costs "
            f"{meaning}."
        ),
        dashboard="etl-slo",
        runbook="run-burn-rate",
    )
