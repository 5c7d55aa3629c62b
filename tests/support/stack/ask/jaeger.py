"""The query API of Jaeger."""

from __future__ import annotations

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
