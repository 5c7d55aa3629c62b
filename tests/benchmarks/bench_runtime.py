"""Measure what telemetry costs the application, side by side with the stock distribution.

Each figure is the median of several rounds in one process, ours and stock in turn,
so that a busy machine slows both. Written to docs/benchmarks/runtime.json.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from etl_telemetry.config import resolve
from etl_telemetry.runtime.lifecycle import Lifecycle
from etl_telemetry.tracing import traced

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "runtime.json"
ROUNDS, CALLS = 15, 4_000


class _Accepting(OTLPSpanExporter):
    """Take every batch at once: the cost of the network is not what is measured."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - begin) / CALLS


def compare(ours: Callable[[], object], other: Callable[[], object]) -> dict[str, float]:
    """Return microseconds a call of both, and their ratio."""
    mine, theirs = [], []
    for _ in range(ROUNDS):
        mine.append(_seconds(ours))
        theirs.append(_seconds(other))
    ours_us, other_us = statistics.median(mine) * 1e6, statistics.median(theirs) * 1e6
    return {
        "ours_us": round(ours_us, 3),
        "other_us": round(other_us, 3),
        "ratio": round(ours_us / other_us, 3),
    }


def plain() -> None:
    """Do nothing."""


def main() -> None:
    """Measure, print and write."""
    unset = traced(plain)
    without_setup = compare(unset, plain)

    lifecycle = Lifecycle(
        resolve({"metrics_exporter": "otlp", "metric_interval": 3600.0}, {}, None)
    )
    lifecycle._current.get().spans._export = lambda batch: True
    our_tracer = lifecycle._traces.get_tracer("bench")
    our_counter = lifecycle._metrics.get_meter("bench").create_counter("things")

    stock_traces = TracerProvider(shutdown_on_exit=False)
    stock_traces.add_span_processor(BatchSpanProcessor(_Accepting()))
    stock_tracer = stock_traces.get_tracer("bench")
    stock_metrics = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    stock_counter = stock_metrics.get_meter("bench").create_counter("things")

    attributes = {"pipeline.name": "daily", "status": "success"}

    def span_of(tracer: object) -> Callable[[], None]:
        def call() -> None:
            with tracer.start_as_current_span("work", attributes=attributes):  # type: ignore[attr-defined]
                pass

        return call

    results = {
        "traced call without setup_telemetry() against a plain call": without_setup,
        "span against the stock SDK": compare(span_of(our_tracer), span_of(stock_tracer)),
        "counter.add against the stock SDK": compare(
            lambda: our_counter.add(1, attributes), lambda: stock_counter.add(1, attributes)
        ),
    }
    report = {
        "command": "nox -s bench",
        "python": sys.version.split()[0],
        "calls": ROUNDS * CALLS,
        "results": results,
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
