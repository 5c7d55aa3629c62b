"""GET /api/v1/...: the query API as JSON, documented in docs/reference/viewer-api.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from etl_telemetry.viewer.parameters import Parameters
from etl_telemetry.viewer.plain import to_json
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.refusal import HttpError
from etl_telemetry.viewer.routing import Answer, Request, Route
from etl_telemetry.viewer.schema import StoreError

Ask: TypeAlias = Callable[..., object]


def routes(query: Query) -> list[Route]:
    """Return the routes that answer from `query`."""
    return [
        Route("GET", f"/api/v1{pattern}/?", partial(_respond, query, ask))
        for pattern, ask in _ASKS.items()
    ]


def _respond(query: Query, ask: Ask, request: Request, **names: str) -> Answer:
    try:
        found = ask(query, Parameters(request.query), **names)
    except StoreError as error:
        raise HttpError(503, str(error), Retry_After="1") from error
    body = json.dumps(to_json(found), ensure_ascii=False, allow_nan=False)
    return Answer(200, body.encode())


def _index(_: Query, parameters: Parameters) -> object:
    parameters.finish()
    return {"version": 1, "paths": [f"/api/v1{_readable(pattern)}" for pattern in _ASKS]}


def _counts(query: Query, parameters: Parameters) -> object:
    parameters.finish()
    return query.counts()


def _services(query: Query, parameters: Parameters) -> object:
    parameters.finish()
    return {"services": query.services()}


def _traces(query: Query, parameters: Parameters) -> object:
    service, limit = parameters.text("service"), parameters.limit()
    parameters.finish()
    return {"traces": query.traces(service=service, limit=limit)}


def _trace(query: Query, parameters: Parameters, trace_id: str) -> object:
    parameters.finish()
    spans = query.trace(trace_id)
    if not spans:
        raise HttpError(404, f"no span of trace {trace_id} has arrived")
    return {"trace_id": spans[0].trace_id, "spans": spans}


def _runs(query: Query, parameters: Parameters) -> object:
    status, limit = parameters.text("status"), parameters.limit()
    parameters.finish()
    return {"runs": query.runs(status=status, limit=limit)}


def _spans(query: Query, parameters: Parameters) -> object:
    texts = {name: parameters.text(name) for name in ("name", "trace_id", "span_id", "service")}
    where, limit = parameters.where(), parameters.limit()
    parameters.finish()
    return {"spans": query.spans(**texts, where=where, limit=limit)}


def _logs(query: Query, parameters: Parameters) -> object:
    names = ("trace_id", "span_id", "logger", "severity_text", "service")
    texts = {name: parameters.text(name) for name in names}
    where, limit = parameters.where(), parameters.limit()
    parameters.finish()
    return {"logs": query.logs(**texts, where=where, limit=limit)}


def _metrics(query: Query, parameters: Parameters) -> object:
    parameters.finish()
    return {"metrics": query.metrics()}


def _series(query: Query, parameters: Parameters, metric: str) -> object:
    where = parameters.where()
    parameters.finish()
    return {"series": query.series(metric, where=where)}


def _sum_latest(query: Query, parameters: Parameters, metric: str) -> object:
    by, where = parameters.all("by"), parameters.where()
    parameters.finish()
    try:
        found = query.sum_latest(metric, by=by, where=where)
    except ValueError as error:
        raise HttpError(400, str(error)) from error
    values = [{"key": key, "value": value} for key, value in found.items()]
    return {"metric": metric, "by": by, "values": values}


_ASKS: dict[str, Ask] = {
    "": _index,
    "/counts": _counts,
    "/services": _services,
    "/traces": _traces,
    "/traces/(?P<trace_id>[0-9a-fA-F]{32})": _trace,
    "/runs": _runs,
    "/spans": _spans,
    "/logs": _logs,
    "/metrics": _metrics,
    "/metrics/(?P<metric>[^/]+)/series": _series,
    "/metrics/(?P<metric>[^/]+)/sum_latest": _sum_latest,
}


def _readable(pattern: str) -> str:
    """Return a pattern with `{name}` for its groups."""
    return re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern)
