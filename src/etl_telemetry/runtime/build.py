"""Build the SDK objects of one process from a configuration."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.processor.baggage import BaggageLogProcessor, BaggageSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)

from etl_telemetry.config import Config
from etl_telemetry.metrics import settled
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime import exporters
from etl_telemetry.runtime.batching import Batcher, BatchLimits
from etl_telemetry.runtime.collecting import Collector, Postponed
from etl_telemetry.runtime.current import Queue, Signals
from etl_telemetry.runtime.gate import Gate
from etl_telemetry.runtime.ids import NamedIds
from etl_telemetry.runtime.loggers import LogOutlet
from etl_telemetry.runtime.metric_export import ExportingReader, Merge
from etl_telemetry.runtime.observed import ObservedSeries
from etl_telemetry.runtime.resource import build_resource
from etl_telemetry.runtime.sampling import DecidedSampler, IngressSampler
from etl_telemetry.runtime.traces import SpanOutlet

Shutdowns = list[Callable[[], None]]


def build_signals(
    config: Config,
    detected: Resource,
    *,
    forks: int,
    postponed: Postponed,
    populate: Callable[[MeterProvider], None],
    merge: Merge | None = None,
) -> Signals:
    """Return fresh SDK objects for this process.

    `populate` creates the observable instruments in the new meter provider; `merge` adds
    the metrics of the children for which this process is the relay. No provider registers
    an exit handler: the lifecycle ends all three under one deadline.
    """
    resource = build_resource(config, detected, forks=forks)
    shutdowns: Shutdowns = []
    traces, finished, spans = _traces(config, resource, shutdowns)
    logs, records = _logs(config, resource, shutdowns)
    metrics, collector = _metrics(config, resource, shutdowns, postponed, merge)
    if metrics is not None:
        populate(metrics)
    for way in (spans, records, collector):
        if way is not None:
            way.start()
    return Signals(
        traces=traces,
        metrics=metrics,
        logs=logs,
        finished=finished,
        spans=spans,
        records=records,
        collector=collector,
        shutdowns=tuple(shutdowns),
    )


def _traces(
    config: Config, resource: Resource, shutdowns: Shutdowns
) -> tuple[
    TracerProvider | None, Callable[[ReadableSpan], None] | None, Batcher[ReadableSpan] | None
]:
    exporter = exporters.span_exporter(config)
    if exporter is None:
        return None, None, None
    shutdowns.append(exporter.shutdown)
    batcher: Batcher[ReadableSpan] = Batcher(
        signal="spans",
        export=lambda batch: exporter.export(batch) is SpanExportResult.SUCCESS,
        limits=BatchLimits(
            queue_size=config.span_queue_size,
            batch_size=config.span_batch_size,
            delay=config.span_delay,
        ),
    )
    provider, gate = tracer_provider(config, resource, batcher)
    return provider, gate.on_end, batcher


def tracer_provider(
    config: Config, resource: Resource, way: Queue[ReadableSpan]
) -> tuple[TracerProvider, Gate]:
    """Return a provider whose spans go through the gate, and then this way."""
    provider = TracerProvider(
        resource=resource,
        sampler=_sampler(config),
        id_generator=NamedIds(),
        shutdown_on_exit=False,
    )
    if config.baggage_keys:
        provider.add_span_processor(BaggageSpanProcessor(config.baggage_keys.__contains__))
    gate = Gate(SpanOutlet(way), policy=Policy(allow=config.allow))
    provider.add_span_processor(gate)
    return provider, gate


def _logs(
    config: Config, resource: Resource, shutdowns: Shutdowns
) -> tuple[LoggerProvider | None, Batcher[ReadableLogRecord] | None]:
    exporter = exporters.log_exporter(config)
    if exporter is None:
        return None, None
    shutdowns.append(exporter.shutdown)
    batcher: Batcher[ReadableLogRecord] = Batcher(
        signal="log records",
        export=lambda batch: exporter.export(batch) is LogRecordExportResult.SUCCESS,
        limits=BatchLimits(
            queue_size=config.log_queue_size,
            batch_size=config.log_batch_size,
            delay=config.log_delay,
        ),
    )
    return logger_provider(config, resource, batcher), batcher


def logger_provider(
    config: Config, resource: Resource, way: Queue[ReadableLogRecord]
) -> LoggerProvider:
    """Return a provider whose log records go this way."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    if config.baggage_keys:  # Before the outlet: it must see the record first.
        provider.add_log_record_processor(BaggageLogProcessor(config.baggage_keys.__contains__))
    provider.add_log_record_processor(LogOutlet(way))
    return provider


def _metrics(
    config: Config,
    resource: Resource,
    shutdowns: Shutdowns,
    postponed: Postponed,
    merge: Merge | None,
) -> tuple[MeterProvider | None, Collector | None]:
    exporter = exporters.metric_exporter(config)
    if exporter is None:
        return None, None
    shutdowns.append(exporter.shutdown)
    reader = ExportingReader(exporter, ObservedSeries(config.observer_instance_id), merge=merge)
    provider = MeterProvider(
        [reader], resource=resource, views=views(config), shutdown_on_exit=False
    )

    def collect() -> bool:
        with settled():
            reader.collect()
        return reader.delivered

    return provider, Collector(
        collect=collect, postponed=postponed, interval=config.metric_interval
    )


def views(config: Config) -> list[View]:
    """Return how the metrics are aggregated, where it is not as their instruments say."""
    if not config.exponential_histograms:
        return []
    return [View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())]


def _sampler(config: Config) -> Sampler:
    ratio = TraceIdRatioBased(1.0 if config.sampler_arg is None else config.sampler_arg)
    roots = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": ratio}
    root = roots[config.sampler.removeprefix("parentbased_")]
    if not config.sampler.startswith("parentbased_"):
        return root
    inner: Sampler = ParentBased(root)
    if not config.trust_remote_sampling:
        inner = IngressSampler(inner, root)
    return DecidedSampler(inner)
