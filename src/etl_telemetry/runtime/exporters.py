"""Make the exporters that a configuration asks for.

The exporters read the standard variables that we do not know (timeouts,
certificates, compression, temporality) from the environment themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, LogRecordExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason
from etl_telemetry.config import Config

if TYPE_CHECKING:
    import requests

_OK = 200


def span_exporter(config: Config) -> SpanExporter | None:
    """Return the exporter of spans, or None where traces are switched off."""
    if not config.tracing or config.traces_exporter == "none":
        return None
    if config.traces_exporter == "console":
        return ConsoleSpanExporter()
    if config.traces_protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(**_grpc(config, config.traces_endpoint))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(**_http(config, config.traces_endpoint, "v1/traces"))


def metric_exporter(config: Config) -> MetricExporter | None:
    """Return the exporter of metrics, or None where metrics are switched off."""
    if config.metrics_exporter == "none":
        return None
    if config.metrics_exporter == "console":
        return ConsoleMetricExporter()
    if config.metrics_protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(**_grpc(config, config.metrics_endpoint))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter,
    )

    return OTLPMetricExporter(**_http(config, config.metrics_endpoint, "v1/metrics"))


def log_exporter(config: Config) -> LogRecordExporter | None:
    """Return the exporter of log records, or None where logs are switched off."""
    if config.logs_exporter == "none":
        return None
    if config.logs_exporter == "console":
        return ConsoleLogRecordExporter()
    if config.logs_protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (
            OTLPLogExporter as GrpcLogExporter,
        )

        return GrpcLogExporter(**_grpc(config, config.logs_endpoint))
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (
        OTLPLogExporter,
    )

    return OTLPLogExporter(**_http(config, config.logs_endpoint, "v1/logs"))


def _http(config: Config, own_endpoint: str | None, path: str) -> dict[str, Any]:
    base = config.endpoint or "http://localhost:4318"
    endpoint = own_endpoint or f"{base.removesuffix('/')}/{path}"
    return {
        "endpoint": endpoint,
        "headers": dict(config.headers) or None,
        "session": _session(endpoint),
    }


def _grpc(config: Config, own_endpoint: str | None) -> dict[str, Any]:
    endpoint = own_endpoint or config.endpoint or "http://localhost:4317"
    return {"endpoint": endpoint, "headers": dict(config.headers) or None}


def _count_rejected(response: requests.Response, *_: Any, **__: Any) -> None:
    """Count what the receiver took apart from the rest: the exporters never look (OTLP/HTTP)."""
    if response.status_code != _OK or not response.content:
        return
    with guard.absorb("reading a partial success"):
        # The three signals' responses differ in the name of this field only.
        answer = ExportTraceServiceResponse.FromString(response.content).partial_success
        if answer.rejected_spans:
            guard.drop(
                DropReason.NOT_DELIVERED,
                detail="the receiver rejected a part of what it was sent",
                count=answer.rejected_spans,
            )


def _session(endpoint: str) -> requests.Session:
    """Return a session that never looks into the environment while it sends.

    With `trust_env` each request imports `netrc`; a fork in that moment leaves
    the module's lock held, and the child hangs (found in half of the runs with
    60 tasks). Proxies are therefore read here, once.
    """
    import requests

    session = requests.Session()
    session.trust_env = False
    session.proxies.update(requests.utils.get_environ_proxies(endpoint))
    session.hooks["response"].append(_count_rejected)
    return session
