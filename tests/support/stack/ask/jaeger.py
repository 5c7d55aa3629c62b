"""The query API of Jaeger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from support.stack.ask import http, otlp
from support.stack.ask.otlp import Span


class JaegerApi:
    """Traces, as lists of spans."""

    def __init__(self, url: str) -> None:
        self.url = url

    def services(self) -> list[str]:
        """Return the names of the services that sent spans."""
        return sorted(http.get(f"{self.url}/api/v3/services")["services"])

    def operations(self, service: str) -> list[str]:
        """Return the names of a service's spans."""
        found = http.get(f"{self.url}/api/v3/operations", service=service)["operations"]
        return sorted({each["name"] for each in found})

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace by start; none when there is no such trace."""
        return self._spans(f"/api/v3/traces/{trace_id}")

    def search(
        self, service: str, *, start: float, end: float, limit: int = 1_000, operation: str = ""
    ) -> dict[str, list[Span]]:
        """Return traces of a service by id, each with all of its spans, in this time."""
        parameters = {
            "query.service_name": service,
            "query.start_time_min": _rfc3339(start),
            "query.start_time_max": _rfc3339(end),
            "query.num_traces": limit,
        }
        if operation:
            parameters["query.operation_name"] = operation
        traces: dict[str, list[Span]] = {}
        for span in self._spans("/api/v3/traces", **parameters):
            traces.setdefault(span.trace_id, []).append(span)
        return traces

    def found(
        self, service: str, *, tags: Mapping[str, str] | None = None, **more: str
    ) -> dict[str, Any]:
        """Return what the search page finds, by trace id: it asks the legacy API, also by tags.

        `more` are its other fields: `operation`, `minDuration`, `maxDuration`.
        """
        given = {"service": service, "limit": 10_000, "lookback": "2d", **more}
        if tags:
            given["tags"] = json.dumps(tags)
        answer = http.get(f"{self.url}/api/traces", timeout=120, **given)
        return {trace["traceID"]: trace for trace in answer["data"]}

    def performance(
        self, what: str, service: str, *, end: float, seconds: float, **more: str
    ) -> dict[str, float]:
        """Return what the page of service performance shows at the end, by operation.

        `what` is `latencies` (seconds), `calls` (a second) or `errors` (a share).
        """
        window = round(seconds * 1000)
        given = {
            "service": service, "endTs": round(end * 1000), "lookback": window, "step": window,
            "ratePer": window, "groupByOperation": "true", **more,
        }  # fmt: skip
        found = http.get(f"{self.url}/api/metrics/{what}", timeout=120, **given)
        return {
            label["value"]: float(metric["metricPoints"][-1]["gaugeValue"]["doubleValue"])
            for metric in found["metrics"]
            for label in metric["labels"]
            if label["name"] == "operation"
        }

    def page(self) -> str:
        """Return the page that the browser loads, with the settings of the user interface."""
        return http.text(f"{self.url}/")

    def _spans(self, path: str, **parameters: Any) -> list[Span]:
        try:
            found = http.get(self.url + path, timeout=120, **parameters)
        except http.Refused as refused:
            if refused.status == 404:
                return []
            raise
        return otlp.spans(found["result"])


def _rfc3339(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
