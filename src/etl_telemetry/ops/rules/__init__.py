"""Prometheus rules: alerts, shares of the error budget, and the old names of requests."""

from __future__ import annotations

from etl_telemetry.ops.rules import http, pipelines, platform, slo, tasks, telemetry
from etl_telemetry.ops.rules.model import Alert, Group
from etl_telemetry.ops.thresholds import Thresholds

__all__ = ["Alert", "Group", "alerts", "groups"]


def groups(limits: Thresholds) -> tuple[Group, ...]:
    """Return all groups of rules, one file each."""
    return (
        pipelines.group(limits),
        tasks.group(limits),
        platform.group(limits),
        telemetry.group(limits),
        slo.group(limits),
        http.group(),
    )


def alerts(limits: Thresholds) -> tuple[Alert, ...]:
    """Return all alerts."""
    return tuple(
        rule for group in groups(limits) for rule in group.rules if isinstance(rule, Alert)
    )
