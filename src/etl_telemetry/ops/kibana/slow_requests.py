"""Dashboard: which requests are slow, or ask the database too often."""

from __future__ import annotations

from etl_telemetry.catalogue import (
    DB_QUERY_COUNT,
    DB_QUERY_DURATION,
    DEPLOYMENT_ENVIRONMENT_NAME,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    USER_ID,
)
from etl_telemetry.ops.kibana.model import (
    SECONDS,
    Chart,
    Dashboard,
    Filter,
    Group,
    Measure,
    Search,
    attribute,
    resource,
)
from etl_telemetry.ops.kibana.views import LOGS

_SLOW = Filter("event_name", ("slow_request",))
_MANY = Filter("event_name", ("high_query_count",))
_ROUTE = Group("Route", attribute(HTTP_ROUTE))
_QUERIES = attribute(DB_QUERY_COUNT)

_OVER_TIME = Chart(
    "etl-slow-requests-by-route", "Slow requests by route", LOGS, "bars",
    measures=(Measure("Requests"),), groups=(_ROUTE,), filters=(_SLOW,), over_time=True,
)  # fmt: skip
_HOW_SLOW = Chart(
    "etl-slow-requests-p95", "How slow, s (95th percentile of the slow ones)", LOGS, "bars",
    measures=(Measure("Seconds", "percentile", SECONDS),), groups=(_ROUTE,), filters=(_SLOW,),
    over_time=True,
)  # fmt: skip
_TABLE = Chart(
    "etl-slow-requests-table", "Slow requests: where the time went", LOGS, "table",
    measures=(
        Measure("Requests"),
        Measure("Median, s", "median", SECONDS),
        Measure("Longest, s", "max", SECONDS),
        Measure("In the database, s", "average", attribute(DB_QUERY_DURATION)),
        Measure("Queries", "average", _QUERIES),
    ),
    groups=(_ROUTE, Group("Status", attribute(HTTP_RESPONSE_STATUS_CODE), numeric=True)),
    filters=(_SLOW,),
)  # fmt: skip
_MOST_QUERIES = Chart(
    "etl-many-queries", "Requests with many queries", LOGS, "table",
    measures=(Measure("Requests"), Measure("Most queries", "max", _QUERIES)),
    groups=(_ROUTE,), filters=(_MANY,),
)  # fmt: skip
RECORDS = Search(
    "etl-slow-request-records", "Slow requests", LOGS,
    ("event_name", attribute(HTTP_REQUEST_METHOD), attribute(HTTP_ROUTE), SECONDS, _QUERIES,
     attribute(HTTP_RESPONSE_STATUS_CODE), attribute(USER_ID), "trace_id"),
    (Filter("event_name", ("slow_request", "high_query_count")),),
    "Each with its trace.",
)  # fmt: skip

DASHBOARD = Dashboard(
    "etl-slow-requests", "ETL: slow requests",
    "Requests over the limits of their routes: how many, how slow, and where the time went.", LOGS,
    {
        "Environment": resource(DEPLOYMENT_ENVIRONMENT_NAME),
        "Route": attribute(HTTP_ROUTE),
    },
    ((_OVER_TIME, _HOW_SLOW), (_TABLE, _MOST_QUERIES), (RECORDS,)),
)  # fmt: skip
