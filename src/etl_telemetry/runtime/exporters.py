"""Make the exporters that a configuration asks for.

The exporters read the standard variables that we do not know (timeouts,
certificates, compression, temporality) from the environment themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, LogRecordExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason
from etl_telemetry.config import Config
from etl_telemetry.runtime.observed import with_ends

if TYPE_CHECKING:
    import requests

_OK = 200


@dataclass(frozen=True, slots=True)
class _Signal:
    """Where the exporters of one signal are."""

    name: str
    """Its name in the configuration, and in its path over HTTP."""
    console: type
    """Exporter to the console."""
    module: str
    """Module of its OTLP exporters, within the package of the protocol."""
    exporter: str
    """Class of its OTLP exporters."""


_TRACES = _Signal("traces", ConsoleSpanExporter, "trace_exporter", "OTLPSpanExporter")
_METRICS = _Signal("metrics", ConsoleMetricExporter, "metric_exporter", "OTLPMetricExporter")
_LOGS = _Signal("logs", ConsoleLogRecordExporter, "_log_exporter", "OTLPLogExporter")


_LATE = {
    "http": ("requests",),
    # `importlib.metadata` reads versions with the parser; `requests` brings it along.
    "grpc": ("grpc.experimental", "grpc._channel", "email.parser"),
}
"""What is imported only when the first exporter of a protocol is made."""


Replacement = Callable[[str], object]
"""Return the exporter of `traces`, `metrics` or `logs`, or None: the signal is switched off."""


_replacement: Replacement | None = None
"""What stands in for the exporters of the configuration in this process."""


def replace(by: Replacement | None) -> None:
    """Let `by` make all exporters from now on, whatever is configured; None: no longer.

    For `etl_telemetry.testing`: everything up to the exporter is what production runs.
    """
    global _replacement
    _replacement = by


def replacement() -> Replacement | None:
    """Return what makes the exporters in the place of the configuration, if anything does."""
    return _replacement


def load(config: Config) -> None:
    """Import what a configuration asks for, in the process that is set up.

    At first use it is too late: a fork while another thread imports leaves the
    module's lock held, and the child waits for it for ever.
    """
    for signal in (_TRACES, _METRICS, _LOGS):
        if getattr(config, f"{signal.name}_exporter") == "otlp":
            protocol = _protocol(signal, config)
            _otlp(protocol, signal)
            for module in _LATE[protocol]:
                import_module(module)


def span_exporter(config: Config) -> SpanExporter | None:
    """Return the exporter of spans, or None where traces are switched off."""
    return cast("SpanExporter | None", _exporter(_TRACES, config) if config.tracing else None)


def metric_exporter(config: Config) -> MetricExporter | None:
    """Return the exporter of metrics, or None where metrics are switched off."""
    return cast("MetricExporter | None", _exporter(_METRICS, config))


def log_exporter(config: Config) -> LogRecordExporter | None:
    """Return the exporter of log records, or None where logs are switched off."""
    return cast("LogRecordExporter | None", _exporter(_LOGS, config))


def is_on(signal: str, config: Config) -> bool:
    """Tell whether `traces`, `metrics` or `logs` are exported, without making the exporter."""
    if signal == _TRACES.name and not config.tracing:
        return False
    if _replacement is not None:
        return _replacement(signal) is not None
    return bool(getattr(config, f"{signal}_exporter") != "none")


def _exporter(signal: _Signal, config: Config) -> object:
    if _replacement is not None:
        return _replacement(signal.name)
    kind = getattr(config, f"{signal.name}_exporter")
    if kind == "none":
        return None
    if kind == "console":
        return signal.console()
    endpoint = getattr(config, f"{signal.name}_endpoint")
    protocol = _protocol(signal, config)
    if protocol == "grpc":
        return _otlp(protocol, signal)(**_grpc(config, endpoint))
    return _otlp(protocol, signal)(**_http(config, endpoint, f"v1/{signal.name}"))


def _protocol(signal: _Signal, config: Config) -> str:
    return "grpc" if getattr(config, f"{signal.name}_protocol") == "grpc" else "http"


def _otlp(protocol: str, signal: _Signal) -> Any:
    # By name: gRPC is slow to import, and rarely used.
    module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{signal.module}")
    exporter = getattr(module, signal.exporter)
    return with_ends(exporter) if signal is _METRICS else exporter


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
