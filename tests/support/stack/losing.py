"""A Collector that loses everything: its backends refuse for good, and one queue has no room."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.stack import topology
from support.stack.ask import http
from support.stack.collector import Collector
from support.stack.patience import eventually

SIGNALS = ("traces", "metrics", "logs")
BACKENDS = ("PROMETHEUS_OTLP_ENDPOINT", "JAEGER_OTLP_ENDPOINT", "ELASTICSEARCH_ENDPOINT")
LOST = {
    f"otelcol_exporter_{what}_failed_{kind}"
    for what in ("enqueue", "send")
    for kind in ("spans", "metric_points", "log_records")
}
"""What it counts."""


def collector(folder: Path, *, nowhere: str) -> Collector:
    """Return one; `nowhere` is an address that answers with 404."""
    made = Collector(folder)
    made.variables.update(dict.fromkeys(BACKENDS, nowhere))
    path = folder / "no-room.yaml"
    path.write_text(json.dumps(_no_room(nowhere)))
    made.configs.append(path)
    return made


def lose(loser: Collector) -> None:
    """Let it lose a span, a point and a record in each of both ways."""
    for signal, body in _one_of_each().items():
        # It says that there was no room; the other way it goes on.
        with suppress(http.Refused):
            http.send("POST", f"{loser.otlp_http}/v1/{signal}", body)
    eventually("it has lost of each kind", lambda: loser.ask.samples().keys() >= LOST)


def _no_room(nowhere: str) -> dict[str, Any]:
    """Return one more way out for each signal, whose queue takes one byte."""
    queue = {"enabled": True, "sizer": "bytes", "queue_size": 1, "block_on_overflow": False}
    name = "otlp_http/no_room"
    return {
        "exporters": {name: {"endpoint": nowhere, "sending_queue": queue}},
        "service": {
            "pipelines": {
                f"{signal}/no_room": {"receivers": ["otlp"], "exporters": [name]}
                for signal in SIGNALS
            }
        },
    }


def _one_of_each() -> dict[str, dict[str, Any]]:
    now = str(time.time_ns())
    resource = topology.process("loser")
    point = {"timeUnixNano": now, "asInt": "1"}
    metric = {"name": "lost", "gauge": {"dataPoints": [point]}}
    record = {"timeUnixNano": now, "body": {"stringValue": "lost"}}
    (trace,) = topology.trace_ids(1)
    return {
        "traces": topology.spans("loser", [topology.span(trace, "lost")]),
        "metrics": {
            "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]
        },
        "logs": {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]},
    }
