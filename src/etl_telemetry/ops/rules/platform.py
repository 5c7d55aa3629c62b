"""Alerts on services and databases."""

from __future__ import annotations

from etl_telemetry.ops.rules import observer
from etl_telemetry.ops.rules.model import (
    NO_COLLECTOR,
    WHOLE,
    Alert,
    Group,
    Recording,
    number,
    percent,
    span,
)
from etl_telemetry.ops.thresholds import Thresholds

_SERVICE = "deployment_environment_name, job"
_MINUTES = "etl_platform_info:minutes:count"
"""Recorded, so that days of it can be asked for: of how many minutes has a service told?"""


def group(limits: Thresholds) -> Group:
    """Return the alerts of the platform's services."""
    return Group(
        "platform",
        (
            _minutes(limits),
            _service_down(limits),
            *observer.alerts(),
            _connections(limits),
            _connection_limit(limits),
        ),
    )


def _minutes(limits: Thresholds) -> Recording:
    window = f"[{span(limits.service_hours)}:1m]"
    return Recording(
        _MINUTES, f"count_over_time((group by ({_SERVICE}) (etl_platform_info)){window})"
    )


def _service_down(limits: Thresholds) -> Alert:
    # With push there is no `up`. What came for long is a service, and no script that has ended.
    # Without a Collector all are silent: that is one alert, and they need time to be back.
    silent, days = number(limits.silent_seconds), number(limits.service_days)
    return Alert(
        name="ServiceDown",
        severity="critical",
        wait="1m",
        expr=f"""
(
  (
    max_over_time({_MINUTES}[{days}d]) > {number(limits.service_minutes)}
    unless
    time() - max by ({_SERVICE}) (timestamp(etl_platform_info)) <= {silent}
  )
  or
  max by ({_SERVICE}) (up{{job!~"alertmanager|collector|prometheus"}}) == 0
)
{NO_COLLECTOR}
""",
        summary="{{ $labels.job }} is down",
        description=(
            f"No process of the service has sent a metric for {silent} seconds (where Prometheus "
            "scrapes the Collector, this is seen after 10 minutes), or none answers where "
            f"Prometheus scrapes. A service is what sent for more than "
            f"{number(limits.service_minutes)} minutes within {number(limits.service_hours)} "
            f"hours. It is missed for {days} days, and then forgotten."
        ),
        dashboard="etl-health",
    )


def _connections(limits: Thresholds) -> Alert:
    return Alert(
        name="HighDatabaseConnections",
        wait="2m",
        expr=f"""
max by (deployment_environment_name, database_type) (database_connections_active)
> {number(limits.database_connections)}
""",
        summary=f"{{{{ $labels.database_type }}}}: {WHOLE} connections are open",
        description=(
            f"More than {number(limits.database_connections)} connections are open: a pool is too "
            "large, or connections are not given back. The server refuses new ones at its maximum."
        ),
        dashboard="etl-database",
    )


def _connection_limit(limits: Thresholds) -> Alert:
    return Alert(
        name="DatabaseConnectionsNearLimit",
        severity="critical",
        wait="2m",
        expr=f"""
sum by (deployment_environment_name, database_alias) (
  max by (deployment_environment_name, database_alias, state) (database_server_connections)
)
/
max by (deployment_environment_name, database_alias) (database_server_connections_limit)
> {number(limits.database_connection_ratio)}
""",
        summary=(
            "{{ $labels.database_alias }}: {{ $value | humanizePercentage }} of the connections "
            "that the server allows are open"
        ),
        description=(
            f"More than {percent(limits.database_connection_ratio)}: at the limit the server "
            "refuses new ones, and requests and tasks fail."
        ),
        dashboard="etl-database",
    )
