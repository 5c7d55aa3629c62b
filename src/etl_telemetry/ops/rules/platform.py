"""Alerts on services and databases."""

from __future__ import annotations

from etl_telemetry.ops.rules import observer
from etl_telemetry.ops.rules.model import WHOLE, Alert, Group, number, percent
from etl_telemetry.ops.thresholds import Thresholds

_SERVICE = "deployment_environment_name, job"


def group(limits: Thresholds) -> Group:
    """Return the alerts of the platform's services."""
    return Group(
        "platform",
        (
            _service_down(limits),
            *observer.alerts(),
            _connections(limits),
            _connection_limit(limits),
        ),
    )


def _service_down(limits: Thresholds) -> Alert:
    # With push there is no `up`. A series is found for 5 minutes after its last sample: within
    # these its age tells, afterwards that it was there within the day.
    return Alert(
        name="ServiceDown",
        severity="critical",
        wait="1m",
        expr=f"""
(
  time() - max by ({_SERVICE}) (timestamp(etl_platform_info)) > {number(limits.silent_seconds)}
)
or
(
  group by ({_SERVICE}) (last_over_time(etl_platform_info[1d]))
  unless
  group by ({_SERVICE}) (etl_platform_info)
)
or
  max by ({_SERVICE}) (up{{job!~"alertmanager|collector|prometheus"}}) == 0
""",
        summary="{{ $labels.job }} is down",
        description=(
            f"No process of the service has sent a metric for {number(limits.silent_seconds)} "
            "seconds, or none answers where Prometheus scrapes. A service that was taken away on "
            "purpose is forgotten after a day."
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
