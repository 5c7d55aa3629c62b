"""POST /v1/traces, /v1/metrics, /v1/logs: decode, store, answer as OTLP demands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from etl_telemetry.viewer import flatten, flatten_metrics
from etl_telemetry.viewer.refusal import HttpError
from etl_telemetry.viewer.routing import Answer, Request, Route
from etl_telemetry.viewer.schema import StoreError
from etl_telemetry.viewer.store import Store
from etl_telemetry.viewer.wire import JSON, PROTOBUF, WireError, decode, encode


@dataclass(frozen=True, slots=True)
class _Signal:
    """What tells the three signals apart."""

    path: str
    request: type[Message]
    response: type[Message]
    rejected: str
    flatten: Callable[[Any], flatten.Batch]


_SIGNALS = (
    _Signal(
        "/v1/traces",
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "rejected_spans",
        flatten.spans,
    ),
    _Signal(
        "/v1/metrics",
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        "rejected_data_points",
        flatten_metrics.metrics,
    ),
    _Signal(
        "/v1/logs",
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "rejected_log_records",
        flatten.logs,
    ),
)


def routes(store: Store, *, max_body: int) -> list[Route]:
    """Return the routes that write into `store`."""
    return [
        Route("POST", signal.path, partial(_ingest, store, max_body, signal)) for signal in _SIGNALS
    ]


def _ingest(store: Store, max_body: int, signal: _Signal, request: Request) -> Answer:
    if request.content_type not in (PROTOBUF, JSON):
        raise HttpError(
            415,
            f"Content-Type must be {PROTOBUF} or {JSON}, got {request.content_type[:60]!r}",
            Accept=f"{PROTOBUF}, {JSON}",
        )
    data = request.body.read(at_most=max_body)
    try:
        message = decode(data, request.content_type, signal.request)
        batch = signal.flatten(message)
        store.add(batch)
    except WireError as error:
        raise HttpError(400, str(error)) from error
    except StoreError as error:
        raise HttpError(503, str(error), Retry_After="1") from error
    return Answer(200, encode(_response(signal, batch), request.content_type), request.content_type)


def _response(signal: _Signal, batch: flatten.Batch) -> Message:
    """Return the success, partial when items were left out."""
    response: Any = signal.response()
    if batch.rejected:
        reasons = "; ".join(f"{count} x {why}" for why, count in sorted(batch.rejected.items()))
        setattr(response.partial_success, signal.rejected, batch.rejected.total())
        response.partial_success.error_message = reasons
    message: Message = response
    return message
