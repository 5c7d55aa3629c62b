"""OTLP requests written by hand, and a client that shows what a receiver answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def value(item: object) -> AnyValue:
    """Return a Python value as OTLP's AnyValue."""
    if isinstance(item, bool):
        return AnyValue(bool_value=item)
    if isinstance(item, int):
        return AnyValue(int_value=item)
    if isinstance(item, float):
        return AnyValue(double_value=item)
    if isinstance(item, bytes):
        return AnyValue(bytes_value=item)
    if isinstance(item, list | tuple):
        return AnyValue(array_value=ArrayValue(values=[value(part) for part in item]))
    return AnyValue(string_value=str(item))


def pairs(attributes: Mapping[str, object]) -> list[KeyValue]:
    """Return attributes as OTLP key-value pairs."""
    return [KeyValue(key=key, value=value(item)) for key, item in attributes.items()]


def span(
    *,
    trace_id: str = TRACE_ID,
    span_id: str = SPAN_ID,
    parent: str = "",
    name: str = "load",
    start: int = 1_000,
    end: int = 2_000,
    attributes: Mapping[str, object] | None = None,
) -> Span:
    """Return one span."""
    return Span(
        trace_id=bytes.fromhex(trace_id),
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent),
        name=name,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=pairs(attributes or {}),
    )


def traces(*spans: Span, **resource: object) -> ExportTraceServiceRequest:
    """Return a request with these spans; `service_name="x"` becomes `service.name`."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(pairs(_dotted(resource)))
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "tests", "1"
    scope.spans.extend(spans)
    return request


def logs(
    *records: LogRecord, logger: str = "tests", **resource: object
) -> ExportLogsServiceRequest:
    """Return a request with these log records."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs(_dotted(resource)))
    scope = group.scope_logs.add()
    scope.scope.name = logger
    scope.log_records.extend(records)
    return request


def metrics(*items: Metric, **resource: object) -> ExportMetricsServiceRequest:
    """Return a request with these metrics."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(pairs(_dotted(resource)))
    scope = group.scope_metrics.add()
    scope.scope.name = "tests"
    scope.metrics.extend(items)
    return request


def _dotted(names: Mapping[str, object]) -> dict[str, object]:
    return {name.replace("_", "."): item for name, item in names.items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """Return the body, which must be JSON."""
        assert self.headers["content-type"] == JSON
        return json.loads(self.body)


def send(
    address: str,
    path: str,
    body: bytes | None = b"",
    *,
    method: str = "POST",
    content_type: str | None = PROTOBUF,
    **headers: str,
) -> Reply:
    """Send one request on a connection of its own; `Content_Encoding="gzip"` names a header."""
    client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        sent = {name.replace("_", "-"): item for name, item in headers.items()}
        if content_type is not None:
            sent["Content-Type"] = content_type
        client.request(method, path, body, sent)
        answer = client.getresponse()
        lower = {name.lower(): item for name, item in answer.getheaders()}
        return Reply(answer.status, lower, answer.read())
    finally:
        client.close()


def ask(address: str, path: str) -> object:
    """Return the JSON at a path, which must be there."""
    reply = send(address, path, None, method="GET", content_type=None)
    assert reply.status == 200, reply
    return reply.json()
