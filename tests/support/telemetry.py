"""In-memory OpenTelemetry for tests: the API's global providers, set once per test process.

    from support.telemetry import telemetry

    @pytest.fixture(autouse=True)
    def seen() -> Telemetry: return telemetry()      # empty at the start of each test

Spans come as SDK `ReadableSpan`s in the order in which they ended. Metrics are
deltas since the last look, so that tests do not see each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import (
    AlwaysOnExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import Status, StatusCode

Labels = tuple[tuple[str, object], ...]
_DELTA = AggregationTemporality.DELTA


class EmittingProvider(TracerProvider):
    """An SDK provider that takes finished spans, as the runtime's does."""

    def emit_finished_span(self, span: Any) -> None:
        """Export `span` with the ids and times that it has."""
        self._active_span_processor.on_end(
            ReadableSpan(
                name=span.name,
                context=span.context,
                parent=span.parent,
                resource=self.resource,
                attributes=span.attributes,
                links=span.links,
                kind=span.kind,
                status=Status() if span.error is None else Status(StatusCode.ERROR, span.error),
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=InstrumentationScope("etl_telemetry"),
            )
        )


@dataclass(frozen=True)
class Telemetry:
    """What the test process recorded since the last `clear`."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self.exporter.clear()
        self.points()

    def spans(self) -> tuple[ReadableSpan, ...]:
        """Return finished spans, in the order in which they ended."""
        return self.exporter.get_finished_spans()

    def names(self) -> list[str]:
        """Return the names of the spans that ended."""
        return [span.name for span in self.spans()]

    def span(self, name: str) -> ReadableSpan:
        """Return the only finished span called `name`."""
        (found,) = [span for span in self.spans() if span.name == name]
        return found

    def points(self) -> dict[str, dict[Labels, Any]]:
        """Return data points since the last look: metric name -> sorted labels -> point."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: {labels(point.attributes): point for point in metric.data.data_points}
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self) -> dict[str, dict[Labels, float]]:
        """Return the same as plain numbers: a histogram as its count."""
        return {
            name: {key: getattr(point, "value", None) if hasattr(point, "value") else point.count
                   for key, point in points.items()}
            for name, points in self.points().items()
        }  # fmt: skip


def labels(attributes: Mapping[str, object] | None = None) -> Labels:
    """Return attributes as a key: sorted pairs."""
    return tuple(sorted((attributes or {}).items()))


def current_name() -> str | None:
    """Return the name of the span that is current here."""
    return getattr(trace.get_current_span(), "name", None)


def telemetry() -> Telemetry:
    """Return the telemetry of this test process, empty."""
    found = _installed()
    found.clear()
    return found


@cache
def _installed() -> Telemetry:
    exporter = InMemorySpanExporter()
    tracers = EmittingProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    reader = InMemoryMetricReader(
        preferred_temporality={
            Counter: _DELTA, UpDownCounter: _DELTA, Histogram: _DELTA, _Gauge: _DELTA,
        }
    )  # fmt: skip
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(
        MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False)
    )
    return Telemetry(exporter, reader)
