"""OpenTelemetry's own set-up of Celery, without anything of ours: the neighbour in an upgrade."""

from __future__ import annotations

from celery import signals
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def set_up() -> None:
    """Export spans, at the end of the process at the latest."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()
    signals.worker_shutdown.connect(lambda **_: provider.force_flush(), weak=False)
