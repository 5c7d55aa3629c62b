"""What each alert must do, as cases for `promtool test rules`."""

from __future__ import annotations

from support.rules import pipelines, platform, slo, tasks, telemetry
from support.rules.case import Case

__all__ = ["CASES", "Case"]

CASES: tuple[Case, ...] = (
    *pipelines.CASES,
    *tasks.CASES,
    *platform.CASES,
    *telemetry.CASES,
    *slo.CASES,
)
"""All of them."""
