"""Cases of the alerts on services and databases."""

from __future__ import annotations

from support.rules.case import Case, labels, series

_INFO = series("etl_platform_info")
_ETL = labels(job="etl")
_SERVICES = (
    Case("ServiceDown", "fires", "the last sample is more than three minutes old",
         {_INFO: "1x10"}, at="15m", firing=(_ETL,), summary="etl is down"),
    Case("ServiceDown", "fires", "its series is long gone", {_INFO: "1x10"},
         at="3h", firing=(_ETL,)),
    Case("ServiceDown", "quiet", "two exports are late", {_INFO: "1x10 _ _ 1x10"}, at="12m"),
    Case("ServiceDown", "quiet", "it was taken away two days ago", {_INFO: "1x10"}, at="48h"),
    Case("ServiceDown", "missing", "it was never there", {}, at="10m"),
    Case("ServiceDown", "restart", "another process of the service took over",
         {_INFO: "1x10 stale", series("etl_platform_info", "b"): "_x11 1x60"}, at="40m"),
    Case("ServiceDown", "labels", "one of two services; and one that Prometheus scrapes",
         {_INFO: "1x10", series("etl_platform_info", "w", job="worker"): "1x200",
          'up{job="exporter", deployment_environment_name="production"}': "0x200",
          'up{job="collector"}': "0x200", 'up{job="alertmanager"}': "0x200"},
         at="2h", firing=(_ETL, labels(job="exporter"))),
)  # fmt: skip

_ACTIVE = series("active_pipeline_runs", "observer")
_OBSERVERS = (
    Case("ObserverSilent", "fires", "its series ended a quarter of an hour ago",
         {_ACTIVE: "3x10 stale"}, at="25m", firing=(labels(),),
         summary="Nobody reads active runs, queues and database connections any more"),
    Case("ObserverSilent", "quiet", "it reads zero runs", {_ACTIVE: "0x60"}, at="50m"),
    Case("ObserverSilent", "missing", "there never was one", {}, at="50m"),
    Case("ObserverSilent", "restart", "the second one takes over",
         {_ACTIVE: "3x10 stale", series("active_pipeline_runs", "b"): "_x14 3x60"}, at="50m"),
    Case("ObserverSilent", "labels", "each environment has its own",
         {_ACTIVE: "3x10 stale",
          'active_pipeline_runs{deployment_environment_name="test"}': "1x60"},
         at="50m", firing=(labels(),)),
)  # fmt: skip

_OPEN = series("database_connections_active", "observer", database_type="postgresql")
_CONNECTIONS = (
    Case("HighDatabaseConnections", "fires", "one connection too many", {_OPEN: "51x10"},
         at="3m", firing=(labels(database_type="postgresql"),),
         summary="postgresql: 51 connections are open"),
    Case("HighDatabaseConnections", "quiet", "as many as are allowed", {_OPEN: "50x10"}, at="10m"),
    Case("HighDatabaseConnections", "missing", "the server cannot be asked",
         {_OPEN: "51x1 stale"}, at="10m"),
    Case("HighDatabaseConnections", "restart", "two observers see the same connections",
         {_OPEN: "30x10",
          series("database_connections_active", "b", database_type="postgresql"): "30x10"},
         at="10m"),
    Case("HighDatabaseConnections", "labels", "the server that is full, and no other",
         {_OPEN: "51x10",
          series("database_connections_active", "observer", database_type="mysql"): "1x10"},
         at="10m", firing=(labels(database_type="postgresql"),)),
)  # fmt: skip


def _server(state: str, instance: str = "observer", alias: str = "default") -> str:
    return series("database_server_connections", instance, database_alias=alias, state=state)


_LIMIT = series("database_server_connections_limit", "observer", database_alias="default")
_NEAR = (
    Case("DatabaseConnectionsNearLimit", "fires", "85 of 100, most of them idle",
         {_server("active"): "5x10", _server("idle"): "80x10", _LIMIT: "100x10"},
         at="4m", firing=(labels(database_alias="default"),),
         summary="default: 85% of the connections that the server allows are open"),
    Case("DatabaseConnectionsNearLimit", "quiet", "80 of 100 are allowed",
         {_server("idle"): "80x10", _LIMIT: "100x10"}, at="8m"),
    Case("DatabaseConnectionsNearLimit", "missing", "the server tells no limit",
         {_server("idle"): "80x10"}, at="8m"),
    Case("DatabaseConnectionsNearLimit", "restart", "two observers see the same connections",
         {_server("idle"): "50x10", _server("idle", "b"): "50x10", _LIMIT: "100x10"}, at="8m"),
    Case("DatabaseConnectionsNearLimit", "labels", "the server that is full, and no other",
         {_server("idle"): "85x10", _LIMIT: "100x10", _server("idle", alias="other"): "85x10",
          series("database_server_connections_limit", database_alias="other"): "500x10"},
         at="8m", firing=(labels(database_alias="default"),)),
)  # fmt: skip

CASES = (*_SERVICES, *_OBSERVERS, *_CONNECTIONS, *_NEAR)
"""All of them."""
