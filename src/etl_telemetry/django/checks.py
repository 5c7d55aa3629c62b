"""What `manage.py check` says of telemetry: warnings only, since errors would block `migrate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks

from etl_telemetry import setup
from etl_telemetry.django import audit, mapping
from etl_telemetry.django.alerts.checks import check_webhook
from etl_telemetry.django.dashboard.checks import check_dashboard

WRONG = "etl_telemetry.W001"
"""A wrong value of ours: a process that serves would not start."""
IGNORED = "etl_telemetry.W002"
"""A value that is ignored: a wrong `OTEL_*` variable, or one of the former stack."""

MODELS = "etl_telemetry.W010"
"""A wrong mapping of the host's models."""
_STOPS = "A process that serves stops at start-up until this is corrected."


def check_configuration(
    app_configs: Sequence[AppConfig] | None, **_: Any
) -> list[checks.CheckMessage]:
    """Report what set-up found in the configuration of this process.

    >>> check_configuration(None)
    []
    """
    telemetry = setup.active()
    if telemetry is None:
        return []
    problems = [*telemetry.problems, *audit.problems(telemetry.config)]
    wrong = [checks.Warning(problem, hint=_STOPS, id=WRONG) for problem in problems]
    # A process that exports has logged them already.
    told = () if telemetry.active else telemetry.config.warnings
    ignored = [checks.Warning(warning, id=IGNORED) for warning in told]
    return [*wrong, *ignored]


def check_models(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Report what is wrong with `ETL_TELEMETRY["MODELS"]`."""
    return [checks.Warning(problem, hint=_STOPS, id=MODELS) for problem in mapping.problems()]


def connect() -> None:
    """Add our checks to those that Django runs; once is enough, more does no harm."""
    checks.register(check_configuration)
    checks.register(check_webhook)
    checks.register(check_dashboard)
    checks.register(check_models)
