"""The stock SDK and its OTLP/HTTP exporters against the receiver: all three signals."""

from __future__ import annotations

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from etl_telemetry.viewer import records as seen
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver

RESOURCE = Resource({"service.name": "etl", "service.instance.id": "one"})
IDENTITY = {"service.instance.id": "one", "service.name": "etl"}


@pytest.fixture(params=[Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def compression(request: pytest.FixtureRequest) -> Compression:
    """Give each compression that the exporters know."""
    found: Compression = request.param
    return found


def test_spans_arrive(receiver: Receiver, query: Query, compression: Compression) -> None:
    """With parent, kind, status, attributes, event and link."""
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{receiver.address}/v1/traces", compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests", "1")
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    links = [Link(context, {"why": "request"})]
    with (
        tracer.start_as_current_span("run", links=links) as run,
        tracer.start_as_current_span("load", kind=SpanKind.CLIENT) as load,
    ):
        load.set_attributes({"rows": 5, "ok": True, "ratio": 0.5, "tags": ["a", "b"]})
        load.add_event("retry", {"n": 1}, timestamp=7)
        load.set_status(StatusCode.ERROR, "no")
    provider.shutdown()

    root, child = query.trace(f"{run.get_span_context().trace_id:032x}")
    assert (root.parent_span_id, child.parent_span_id) == (None, root.span_id)
    assert root.links == (seen.Link(f"{1:032x}", f"{2:016x}", {"why": "request"}),)
    assert (child.name, child.kind, child.status, child.status_message) == (
        "load",
        "client",
        "error",
        "no",
    )
    assert child.attributes == {"rows": 5, "ok": True, "ratio": 0.5, "tags": ["a", "b"]}
    assert child.events == (seen.Event("retry", 7, {"n": 1}),)
    assert root.start_ns <= child.start_ns <= child.end_ns <= root.end_ns
    assert (child.service, child.resource, child.scope) == (
        "etl",
        IDENTITY,
        seen.Scope("tests", "1"),
    )


def test_logs_arrive(receiver: Receiver, query: Query, compression: Compression) -> None:
    """With severity, body and attributes."""
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{receiver.address}/v1/logs", compression=compression)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    record = LogRecord(
        timestamp=5,
        observed_timestamp=6,
        body={"rows": [1, None]},
        severity_text="WARN",
        severity_number=SeverityNumber.WARN,
        attributes={"k": "v"},
    )
    provider.get_logger("etl.load").emit(record)
    provider.shutdown()

    assert query.logs(logger="etl.load") == [
        seen.LogRecord(
            time_ns=5,
            observed_ns=6,
            severity=13,
            severity_text="WARN",
            event_name="",
            body={"rows": [1, None]},
            trace_id=None,
            span_id=None,
            attributes={"k": "v"},
            service="etl",
            resource=IDENTITY,
            scope=seen.Scope("etl.load", ""),
        )
    ]


@pytest.mark.parametrize("temporality", list(AggregationTemporality)[1:])
def test_metrics_arrive(
    receiver: Receiver,
    query: Query,
    compression: Compression,
    temporality: AggregationTemporality,
) -> None:
    """Every instrument, over two exports, sums to what was recorded in either temporality."""
    exporter = OTLPMetricExporter(
        f"{receiver.address}/v1/metrics",
        compression=compression,
        preferred_temporality={Counter: temporality, Histogram: temporality},
    )
    provider = MeterProvider(
        [PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))],
        resource=RESOURCE,
        shutdown_on_exit=False,
        views=[View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())],
    )
    meter = provider.get_meter("tests")
    runs, held = meter.create_counter("runs"), meter.create_up_down_counter("held")
    took = meter.create_histogram("took", explicit_bucket_boundaries_advisory=[1, 2])
    fine, size = meter.create_histogram("fine"), meter.create_gauge("size")
    for value in (1, 2):
        runs.add(value, {"status": "ok"})
        runs.add(10 * value, {"status": "failed"})
        held.add(5 - 3 * value)
        took.record(value)
        fine.record(value)
        size.set(value)
        provider.force_flush()
    provider.shutdown()

    assert query.sum_latest("runs", by=["status"]) == {("ok",): 3, ("failed",): 30}
    assert query.sum_latest("held") == {(): 1}
    assert query.sum_latest("size") == {(): 2}
    assert query.sum_latest("took") == {
        (): seen.Histogram(2, 3, 1, 2, bounds=(1.0, 2.0), buckets=(1, 1, 0))
    }
    (measured,) = query.sum_latest("fine").values()
    assert isinstance(measured, seen.ExponentialHistogram)
    assert (measured.count, measured.sum, sum(measured.positive.values())) == (2, 3, 2)
    kinds = {metric.name: metric.kind for metric in query.metrics()}
    assert kinds == {
        "fine": "exponential_histogram",
        "held": "updown",
        "runs": "sum",
        "size": "gauge",
        "took": "histogram",
    }
