"""Django: rate, errors and duration by route; slow requests, repeated queries, saturation."""

from __future__ import annotations

from etl_telemetry.catalogue import HTTP_RESPONSE_STATUS_CODE
from etl_telemetry.ops.dashboards.choices import (
    ENVIRONMENT,
    RECORD_ENV,
    SERVED,
    SERVICE,
    percentiles,
    rate,
    rise,
    share,
)
from etl_telemetry.ops.dashboards.connections import of_processes
from etl_telemetry.ops.dashboards.model import (
    Column,
    Dashboard,
    Metrics,
    Panel,
    Records,
    Row,
    Traces,
    Variable,
)
from etl_telemetry.ops.thresholds import Thresholds

_TOOK = "http_server_request_duration_seconds"
_COUNT = f"{_TOOK}_count"
_ROUTE = f'{SERVED}, http_route=~"$route"'
_BROKEN = 'http_response_status_code=~"5.."'
_NO_REQUESTS = "No requests"


def board(_: Thresholds) -> Dashboard:
    """Return the dashboard."""
    route = Variable("route", "Route", f"label_values({_COUNT}{{{SERVED}}}, http_route)")
    return Dashboard(
        uid="etl-django",
        title="ETL platform: Django",
        description="Are requests answered, in time, and without asking the database too often?",
        variables=(ENVIRONMENT, SERVICE, route),
        rows=(
            Row("Requests", (*_requests(), *_routes())),
            Row("Slow requests and repeated queries", _slow()),
            Row("Saturation", of_processes(SERVED, width=8)),
        ),
    )


def _requests() -> tuple[Panel, ...]:
    by, broken = "sum by (http_route)", f"{_ROUTE}, {_BROKEN}"
    return (
        Panel(
            "Requests",
            "Requests a second, by route.",
            (Metrics(f"{by} ({rate(_COUNT, _ROUTE)})", "{{http_route}}"),),
            unit="reqps", width=8, empty=_NO_REQUESTS,
        ),
        Panel(
            "Errors",
            "Share of the requests that were answered with 500 or more.",
            (Metrics(share(f"{by} ({rate(_COUNT, broken)})", f"{by} ({rate(_COUNT, _ROUTE)})"),
                     "{{http_route}}"),),
            unit="percentunit", width=8, empty=_NO_REQUESTS,
        ),
        Panel(
            "Duration",
            "To the last byte of the response: half, 5 % and 1 % took longer. A point leads to a "
            "trace.",
            tuple(Metrics(expr, name) for expr, name in percentiles(_TOOK, _ROUTE)),
            unit="s", width=8, empty=_NO_REQUESTS,
        ),
    )  # fmt: skip


def _routes() -> tuple[Panel, ...]:
    by, broken = "sum by (http_route)", f"{_ROUTE}, {_BROKEN}"
    return (
        Panel(
            "Routes",
            "In the time shown. Requests without a route: no view was found, or a middleware "
            "answered first.",
            (Metrics(f"round({by} ({rise(_COUNT, _ROUTE)}))"),
             Metrics(share(f"{by} ({rise(_COUNT, broken)})", f"{by} ({rise(_COUNT, _ROUTE)})")),
             Metrics(f"histogram_quantile(0.95, sum by (le, http_route) "
                     f"({rise(_TOOK + '_bucket', _ROUTE)}))")),
            "table", width=16, sort="Requests", empty=_NO_REQUESTS,
            columns=(Column("http_route", "Route"), Column("Value #A", "Requests"),
                     Column("Value #B", "Errors", "percentunit", ((0.01, "red"),)),
                     Column("Value #C", "95 %", "s", ((1.0, "orange"),))),
        ),
        Panel(
            "By status code",
            "Requests in the time shown, rounded.",
            (Metrics(f"round(sum by (http_response_status_code) ({rise(_COUNT, _ROUTE)}))",
                     "{{http_response_status_code}}"),),
            "levels", width=8, now=True, empty=_NO_REQUESTS,
        ),
        Panel(
            "Durations",
            "How many requests took how long.",
            (Metrics(f"sum by (le) ({rise(_TOOK + '_bucket', _ROUTE, '$__rate_interval')})"),),
            "heat", "s", width=12, empty=_NO_REQUESTS,
        ),
        Panel(
            "Failed requests",
            "Traces in which a request was answered with 500, the status of an exception.",
            # Neither error=true nor span.kind=server: Jaeger 2.13 in memory finds nothing by them
            # (docs/how-to/jaeger.md).
            (Traces({HTTP_RESPONSE_STATUS_CODE: "500"}),),
            "table", width=12, empty="No trace of a failed request",
        ),
    )  # fmt: skip


def _slow() -> tuple[Panel, ...]:
    route = "attributes.http.route"
    told = (Column(route, "Route"), Column("Count", "Requests"))
    return (
        Panel(
            "Slow routes",
            "Requests that took longer than their route may: log records slow_request.",
            (Records(f"event_name:slow_request AND {RECORD_ENV}", by=(route,)),),
            "table", width=6, columns=told, sort="Requests", empty="No slow request is known",
        ),
        Panel(
            "Too many queries",
            "Requests with more database queries than their route may send: log records "
            "high_query_count. Its repeated statement is the N of N+1.",
            (Records(f"event_name:high_query_count AND {RECORD_ENV}",
                     by=(route, "attributes.db.query.repeated.text")),),
            "table", width=18, sort="Requests", empty="No such request is known",
            columns=(*told, Column("attributes.db.query.repeated.text", "Repeated statement")),
        ),
        Panel(
            "Latest of both",
            "Each record leads to the trace of its request.",
            (Records(f"event_name:(slow_request OR high_query_count) AND {RECORD_ENV}"),),
            "records", width=24, empty="No such request is known",
        ),
    )  # fmt: skip
