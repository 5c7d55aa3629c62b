"""Exporters that keep what they get, in the place of those that send it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class Memory:
    """What the exporters of one capture got. Lists only grow, so that any thread may read."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.logs: list[ReadableLogRecord] = []
        self.metrics: MetricsData | None = None
        """The last export: it is cumulative."""

    def exporter(self, signal: str) -> object:
        """Return a new exporter into this memory (`runtime.exporters.Replacement`)."""
        return {"traces": _Spans, "metrics": _Metrics, "logs": _Logs}[signal](self)


class _Spans(SpanExporter):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._memory.spans.extend(spans)
        return SpanExportResult.SUCCESS


class _Logs(LogRecordExporter):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._memory.logs.extend(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 10_000) -> bool:  # noqa: ARG002 - the SDK's signature
        return True

    def shutdown(self) -> None:
        """Keep what there is."""


class _Metrics(MetricExporter):
    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the SDK's signature
        **_: object,
    ) -> MetricExportResult:
        self._memory.metrics = metrics_data
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - as above
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Keep what there is."""
