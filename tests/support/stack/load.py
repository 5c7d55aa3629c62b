"""Load for Collectors: requests as the SDK's exporters make them, encoded before they are sent."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

BATCH = 512
"""Items of a request, as many as the SDK's exporters send at most."""
PROCESSES = 8
"""So many application processes send in turn."""
TASKS = 8
"""Spans of a trace."""


def spans(number: int) -> ExportTraceServiceRequest:
    """Return spans of runs as the library marks them, with ten attributes each."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=_process(number))
    scope = group.scope_spans.add()
    scope.scope.name = "etl_telemetry"
    now = time.time_ns()
    for each in range(number * BATCH, (number + 1) * BATCH):
        trace, place = divmod(each, TASKS)
        span = scope.spans.add(
            trace_id=(now % 2**32 + trace + 1).to_bytes(16),
            span_id=(each + 1).to_bytes(8),
            parent_span_id=(trace * TASKS + 1).to_bytes(8) if place else b"",
            trace_state="etl=run",
            name=f"step {('extract', 'transform', 'load')[each % 3]}",
            kind=1,
            start_time_unix_nano=now - 10_000_000,
            end_time_unix_nano=now,
        )
        span.attributes.extend(_ten(each))
    return request


def records(number: int) -> ExportLogsServiceRequest:
    """Return log records as the library makes them, with eleven attributes each, one the id."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add(resource=_process(number))
    scope = group.scope_logs.add()
    scope.scope.name = "apps.pipelines.tasks"
    now = time.time_ns()
    for each in range(number * BATCH, (number + 1) * BATCH):
        record = scope.log_records.add(
            time_unix_nano=now + each,
            observed_time_unix_nano=now + each,
            severity_number=9,
            severity_text="INFO",
            trace_id=(each // TASKS + 1).to_bytes(16),
            span_id=(each + 1).to_bytes(8),
        )
        record.body.string_value = "step_completed"
        record.attributes.extend([*_ten(each), _text("log.record.uid", f"{now:x}-{each:x}")])
    return request


def points(number: int) -> ExportMetricsServiceRequest:
    """Return the next point of each of 512 counters of a process, a tenth of a second later."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add(resource=_process(number))
    scope = group.scope_metrics.add()
    scope.scope.name = "etl_telemetry"
    metric = scope.metrics.add(name="pipeline.executions", unit="{execution}")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    begin = time.time_ns() // 10**9 * 10**9 - 600 * 10**9
    for each in range(BATCH):
        point = metric.sum.data_points.add(
            start_time_unix_nano=begin,
            time_unix_nano=begin + (number + 1) * 10**8,
            as_int=number,
        )
        point.attributes.extend(
            [
                _text("pipeline.name", f"flights-{each // 2}"),
                _text("organization", "acme"),
                _text("status", ("success", "failed")[each % 2]),
            ]
        )
    return request


MAKE: dict[str, Callable[[int], Message]] = {"traces": spans, "logs": records, "metrics": points}
"""What makes a request of each signal, by its number."""
NAMES = {"traces": "spans", "logs": "log_records", "metrics": "metric_points"}
"""What the Collector calls the items of each signal."""


def encoded(signal: str, requests: int) -> list[bytes]:
    """Return so many requests of a signal."""
    return [MAKE[signal](number).SerializeToString() for number in range(requests)]


def send(endpoint: str, signal: str, bodies: Sequence[bytes], *, connections: int = 2) -> int:
    """Send all of them and return how often the Collector said "later"."""
    with ThreadPoolExecutor(connections) as pool:
        shares = [bodies[part::connections] for part in range(connections)]
        return sum(pool.map(lambda share: _send(endpoint, signal, share), shares))


def _send(endpoint: str, signal: str, bodies: Sequence[bytes]) -> int:
    client = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=120)
    headers = {"Content-Type": "application/x-protobuf"}
    later = 0
    for body in bodies:
        while True:
            client.request("POST", f"/v1/{signal}", body, headers)
            answer = client.getresponse()
            said = answer.read()
            if answer.status == http.client.OK:
                break
            if answer.status != http.client.SERVICE_UNAVAILABLE:
                raise RuntimeError(f"{endpoint} answered {answer.status}: {said!r}")
            later += 1
            time.sleep(0.2)
    client.close()
    return later


def _process(number: int) -> Resource:
    own = number % PROCESSES
    return Resource(
        attributes=[
            _text("service.name", "etl-worker"),
            _text("service.instance.id", f"4f3c0b1e-{own}"),
            _text("service.version", "2.1.0"),
            _text("deployment.environment.name", "production"),
        ]
    )


def _ten(number: int) -> list[KeyValue]:
    return [
        _text("pipeline.name", f"flights-{number % 64}"),
        _text("pipeline.run.id", f"0192f6a0-7c1e-7000-8000-{number // TASKS:012x}"),
        _text("pipeline.organization", "acme"),
        _text("step.type", ("extract", "transform", "load")[number % 3]),
        _text("task.name", "apps.pipelines.tasks.steps.transform"),
        _text("connector.type", "postgresql"),
        _text("server.address", "database.example"),
        KeyValue(key="server.port", value=AnyValue(int_value=5432)),
        KeyValue(key="rows.read", value=AnyValue(int_value=number % 9_973)),
        KeyValue(key="rows.processed", value=AnyValue(int_value=number % 9_941)),
    ]


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
