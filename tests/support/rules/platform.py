"""Cases of the alerts on services and databases."""

from __future__ import annotations

from support.rules.case import Case, labels, series

_INFO = series("etl_platform_info")
_ETL = labels(job="etl")
_GATEWAY = 'up{job="collector", instance="gw-1:8888"}'
_SERVICES = (
    Case("ServiceDown", "fires", "the last sample is more than three minutes old",
         {_INFO: "1x90"}, at="95m", firing=(_ETL,), summary="etl is down"),
    Case("ServiceDown", "fires", "its series is long gone", {_INFO: "1x90"},
         at="3h", firing=(_ETL,)),
    Case("ServiceDown", "fires", "one of two Collectors is down, so the way was there",
         {_INFO: "1x90", _GATEWAY: "1x80 0x60", 'up{job="collector", instance="gw-2"}': "1x150"},
         at="2h", firing=(_ETL,)),
    Case("ServiceDown", "fires", "Prometheus scrapes: the Collector repeats it for ten minutes",
         {_INFO: "1x90 1x10 stale"}, at="104m", firing=(_ETL,)),
    Case("ServiceDown", "quiet", "two exports are late", {_INFO: "1x90 _ _ 1x10"}, at="92m"),
    Case("ServiceDown", "quiet", "a script that ended, four minutes ago", {_INFO: "1x40"},
         at="44m"),
    Case("ServiceDown", "quiet", "a script that ended, hours ago", {_INFO: "1x40"}, at="3h"),
    Case("ServiceDown", "fires", "it is down since Friday evening", {_INFO: "1x30"},
         at="66h", firing=(_ETL,), days=True),
    Case("ServiceDown", "quiet", "it was taken away on purpose, four days ago", {_INFO: "1x30"},
         at="96h", days=True),
    Case("ServiceDown", "quiet", "it was down for the weekend, and is back",
         {_INFO: "1x30 _x900 1x90"}, at="64h", days=True),
    Case("ServiceDown", "quiet", "no Collector answers: that is one outage, and one alert",
         {_INFO: "1x90", _GATEWAY: "1x88 0x60", 'up{job="etl-telemetry"}': "1x88 0x60"},
         at="2h"),
    Case("ServiceDown", "quiet", "the Collector has come back, the processes not yet",
         {_INFO: "1x88", _GATEWAY: "1x88 0x20 1x60"}, at="113m"),
    Case("ServiceDown", "missing", "it was never there", {}, at="10m"),
    Case("ServiceDown", "restart", "another process of the service took over",
         {_INFO: "1x90 stale", series("etl_platform_info", "b"): "_x91 1x60"}, at="2h"),
    Case("ServiceDown", "labels", "one of two services; and one that Prometheus scrapes",
         {_INFO: "1x90", series("etl_platform_info", "w", job="worker"): "1x200",
          'up{job="exporter", deployment_environment_name="production"}': "0x200",
          _GATEWAY: "1x200", 'up{job="alertmanager"}': "0x200"},
         at="3h", firing=(_ETL, labels(job="exporter"))),
)  # fmt: skip


def _read(source: str, status: str = "success", instance: str = "observer", **more: str) -> str:
    of = {"observer_source": source, "status": status, **more}
    return series("observer_readings_total", instance, **of)


_OBSERVERS = (
    Case("ObserverSilent", "fires", "nothing was read for half an hour; beat goes on counting",
         {_read("queues"): "0+4x20 stale", _read("beat", instance="beat"): "0+4x60"},
         at="50m", firing=(_ETL,),
         summary="Nobody reads active runs, queues and database connections any more"),
    Case("ObserverSilent", "fires", "it has lost the lead, and nobody else has it",
         {_read("queues"): "0+4x20 80x60"}, at="50m", firing=(_ETL,)),
    Case("ObserverSilent", "fires", "one of two Collectors is down, so the way was there",
         {_read("queues"): "0+4x20 80x60", _GATEWAY: "1x20 0x60",
          'up{job="collector", instance="gw-2"}': "1x80"}, at="50m", firing=(_ETL,)),
    Case("ObserverSilent", "quiet", "no Collector answers: that is one outage, and one alert",
         {_read("queues"): "0+4x20", _GATEWAY: "1x20 0x60"}, at="50m"),
    Case("ObserverSilent", "quiet", "the Collector has come back, the observer's figures not yet",
         {_read("queues"): "0+4x20 _x50 288+4x20", _GATEWAY: "1x20 0x40 1x20"}, at="68m"),
    Case("ObserverSilent", "quiet", "it reads", {_read("queues"): "0+4x60"}, at="50m"),
    Case("ObserverSilent", "quiet", "it tries: that it cannot is another alert",
         {_read("queues", "error"): "0+4x60"}, at="50m"),
    Case("ObserverSilent", "missing", "there never was one", {}, at="50m"),
    Case("ObserverSilent", "restart", "the second one takes over",
         {_read("queues"): "0+4x20 stale", _read("queues", instance="b"): "_x25 0+4x60"},
         at="50m"),
    Case("ObserverSilent", "restart", "one of another service takes over",
         {_read("queues"): "0+4x20 stale",
          _read("queues", instance="b", job="other"): "_x25 0+4x30"}, at="50m"),
    Case("ObserverSilent", "labels", "each environment has its own",
         {_read("queues"): "0+4x20 stale",
          _read("queues", deployment_environment_name="test"): "0+4x60"},
         at="50m", firing=(_ETL,)),
)  # fmt: skip


def _unread(alert: str, source: str, other: str, summary: str) -> tuple[Case, ...]:
    of = (labels(observer_source=source),)
    return (
        Case(alert, "fires", "each reading fails", {_read(source): "0+4x10 40x30",
             _read(source, "error"): "0x10 0+4x30"}, at="30m", firing=of, summary=summary),
        Case(alert, "fires", "it never could be read",
             {_read(source, "error"): "1+4x30"}, at="20m", firing=of),
        Case(alert, "quiet", "every second reading fails",
             {_read(source): "0+2x40", _read(source, "error"): "0+2x40"}, at="30m"),
        Case(alert, "quiet", "it is read again",
             {_read(source): "0+4x10 40x10 40+4x30", _read(source, "error"): "0x10 0+4x10 40x30"},
             at="30m"),
        Case(alert, "missing", "there is no observer", {}, at="30m"),
        Case(alert, "restart", "a new observer counts from zero, and can read",
             {_read(source, "error"): "3x10 stale", _read(source, instance="b"): "_x11 0+4x30"},
             at="30m"),
        Case(alert, "labels", "the source that fails, and none that another alert is for",
             {_read(source, "error"): "0+4x30", _read("runs"): "0+4x30",
              _read(other, "error"): "0+4x30"}, at="20m", firing=of),
    )  # fmt: skip


_UNREAD = (
    *_unread("ObserverCannotRead", "workers", "queues", "The observer cannot read workers"),
    *_unread("QueuesNotRead", "queues", "workers",
             "Nobody knows how many messages wait: the broker cannot be read"),
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

CASES = (*_SERVICES, *_OBSERVERS, *_UNREAD, *_CONNECTIONS, *_NEAR)
"""All of them."""
