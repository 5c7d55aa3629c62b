"""Database: connections at the server and in the processes, queries, rows, transactions."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import ENV, ENVIRONMENT, quantile, rate, share
from etl_telemetry.ops.dashboards.connections import of_processes
from etl_telemetry.ops.dashboards.model import Dashboard, Metrics, Panel, Row, Variable
from etl_telemetry.ops.thresholds import Thresholds

_TOOK = "database_query_duration_seconds"
_BASE = f'{ENV}, database_alias=~"$database"'
_UNREAD = "Nobody reads"


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    database = Variable(
        "database", "Database", f"label_values({_TOOK}_count{{{ENV}}}, database_alias)"
    )
    return Dashboard(
        uid="etl-database",
        title="ETL platform: database",
        description="Are there connections left, and does the database answer in time?",
        variables=(ENVIRONMENT, database),
        rows=(
            Row("Connections", _connections(limits)),
            Row("Queries", _queries()),
            Row("Transactions and pools", _transactions()),
        ),
    )


def _connections(limits: Thresholds) -> tuple[Panel, ...]:
    at_server = (
        "max by (deployment_environment_name, database_alias, state) "
        f"(database_server_connections{{{_BASE}}})"
    )
    allowed = (
        "max by (deployment_environment_name, database_alias) "
        f"(database_server_connections_limit{{{_BASE}}})"
    )
    return (
        Panel(
            "Connections in use",
            "Of those that the server allows. At 100 % it refuses new ones.",
            (Metrics(f"sum by (deployment_environment_name, database_alias) ({at_server})\n/\n"
                     f"{allowed}", "{{database_alias}}"),),
            "levels", "percentunit", width=6, empty=_UNREAD, now=True,
            limits=((limits.database_connection_ratio, "red"),),
        ),
        Panel(
            "Connections allowed",
            "What the server allows (PostgreSQL: max_connections).",
            (Metrics(allowed, "{{database_alias}}"),),
            "value", width=3, empty=_UNREAD, now=True,
        ),
        Panel(
            "Connections at the server",
            "By what they do, of all clients, read from the server.",
            (Metrics(f"sum by (database_alias, state) ({at_server})",
                     "{{database_alias}} {{state}}"),),
            "share", width=8, empty=_UNREAD,
        ),
        Panel(
            "Database connections",
            "By kind of database, as the former stack counted them.",
            (Metrics(f"max by (database_type) (database_connections_active{{{ENV}}})",
                     "{{database_type}}"),),
            width=7, empty=_UNREAD, limits=((limits.database_connections, "red"),),
        ),
    )  # fmt: skip


def _queries() -> tuple[Panel, ...]:
    by = "database_alias, operation"
    broken = f'{_BASE}, status="error"'
    return (
        Panel(
            "Queries",
            "Queries of Django a second, by operation.",
            (Metrics(f"sum by ({by}) ({rate(_TOOK + '_count', _BASE)})",
                     "{{database_alias}} {{operation}}"),),
            unit="ops", width=8, empty="No queries",
        ),
        Panel(
            "Query duration, 95 %",
            "Until the database answered. A point leads to a trace.",
            (Metrics(quantile(0.95, _TOOK, _BASE, by), "{{database_alias}} {{operation}}"),),
            unit="s", width=8, empty="No queries",
        ),
        Panel(
            "Failed queries",
            "Share of the queries that ended with an error.",
            (Metrics(share(f"sum by ({by}) ({rate(_TOOK + '_count', broken)})",
                           f"sum by ({by}) ({rate(_TOOK + '_count', _BASE)})"),
                     "{{database_alias}} {{operation}}"),),
            unit="percentunit", width=8, empty="No queries",
        ),
        Panel(
            "Rows",
            "Returned or changed a second, where the driver knows.",
            (Metrics(f"sum by ({by}) ({rate('database_rows_total', _BASE)})",
                     "{{database_alias}} {{operation}}"),),
            unit="suffix: rows/s", empty="No rows",
        ),
        Panel(
            "Query durations",
            "How many queries took how long.",
            (Metrics(f"sum by (le) (increase({_TOOK}_bucket{{{_BASE}}}[$__rate_interval]))"),),
            "heat", "s", empty="No queries",
        ),
    )  # fmt: skip


def _transactions() -> tuple[Panel, ...]:
    ended = "database_transactions_total"
    return (
        Panel(
            "Transactions",
            "Transactions of Django that ended a second.",
            (Metrics(f"sum by (database_alias, status) ({rate(ended, _BASE)})",
                     "{{database_alias}} {{status}}"),),
            unit="ops", width=6, empty="No transactions",
        ),
        *of_processes(_BASE, width=6),
    )  # fmt: skip
