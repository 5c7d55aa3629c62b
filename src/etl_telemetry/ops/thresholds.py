"""Numbers of a team: when an alert fires, how long a record is kept; defaults, and `--set`."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from etl_telemetry.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Numbers that `--set NAME=VALUE` changes."""

    failure_ratio: float = 0.1
    """Share of failed and lost runs of a pipeline within 30 minutes, 0 to 1."""
    failure_minimum: float = 5.0
    """Runs of a pipeline within 30 minutes below which a share says nothing."""
    active_runs: float = 10.0
    """Runs that are pending or running, over all pipelines."""
    long_run_factor: float = 3.0
    """How many times longer than usual a run may take: than the mean, and 95 %, of last week."""
    long_run_minutes: float = 15.0
    """Minutes below which no run is long."""
    long_run_hours: float = 6.0
    """Hours after which a run of a pipeline without a history is long."""
    freshness_hours: float = 26.0
    """Hours since the last success of a pipeline: a day, and two hours of patience."""
    rejected_ratio: float = 0.05
    """Share of rejected rows of a step within an hour, 0 to 1."""
    rejected_minimum: float = 100.0
    """Rows read by a step within an hour below which a share says nothing."""
    task_failure_ratio: float = 0.1
    """Share of failed and lost deliveries of a type of task within 15 minutes, 0 to 1."""
    task_failure_minimum: float = 20.0
    """Deliveries of a type within 15 minutes below which a share says nothing."""
    stalled_minutes: float = 15.0
    """Minutes since the last sign of life of a step that is running."""
    queue_size: float = 1000.0
    """Messages that wait in a queue."""
    database_connections: float = 50.0
    """Connections open to a database server."""
    database_connection_ratio: float = 0.8
    """Share of the connections that a database server allows, 0 to 1."""
    silent_seconds: float = 180.0
    """Seconds without a metric of a service: three of the default export intervals."""
    service_hours: float = 6.0
    """Hours that tell what a service is."""
    service_minutes: float = 60.0
    """Minutes of these hours after which a sender is a service, no script; fewer than they have."""
    service_days: float = 3.0
    """Days that a service is missed; then it is forgotten, still down or taken away."""
    collector_queue_ratio: float = 0.5
    """Share of a Collector's queue that is filled, 0 to 1."""
    slo_success: float = 0.99
    """Share of runs that shall succeed, over 30 days; above 0, below 1."""
    logs_days: float = 30.0
    """Days that Elasticsearch keeps log records."""
    errors_days: float = 90.0
    """Days that Elasticsearch keeps log records of the level ERROR and above."""
    audit_days: float = 400.0
    """Days that Elasticsearch keeps audit records."""
    traces_days: float = 14.0
    """Days that Elasticsearch keeps spans, where it has them."""


def parse(settings: Iterable[str]) -> Thresholds:
    """Return the thresholds with each `NAME=VALUE` of ``settings`` set.

    Raises `ConfigurationError` that lists every wrong setting.

    >>> parse(["queue_size=500"]).queue_size
    500.0
    """
    values: dict[str, float] = {}
    problems: list[str] = []
    for setting in settings:
        name, _, text = setting.partition("=")
        problem = _problem(name.strip(), text.strip())
        if problem:
            problems.append(problem)
        else:
            values[name.strip()] = float(text)
    if problems:
        raise ConfigurationError(problems)
    return Thresholds(**values)


def _problem(name: str, text: str) -> str | None:
    names = [field.name for field in dataclasses.fields(Thresholds)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
        return f"--set {name!r} is no threshold. {hint}"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    below = 1.0 if name.endswith(("_ratio", "_success")) else math.inf
    if not 0 < value < below:
        allowed = "a number between 0 and 1" if below == 1.0 else "a number above 0"
        return f"--set {name}={text!r} must be {allowed}."
    if name.endswith("_days") and not value.is_integer():  # Elasticsearch refuses parts of days.
        return f"--set {name}={text!r} must be a whole number of days."
    return None
