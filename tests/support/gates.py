"""A tracer provider behind a gate. `from support.gates import Kit, kit` gives the fixture."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from etl_telemetry.redaction import Policy
from etl_telemetry.runtime.gate import Gate


class Kit:
    """A tracer provider behind a gate, and what came out of it, before and after."""

    def __init__(self, policy: Policy) -> None:
        self.raw, self.cleaned = InMemorySpanExporter(), InMemorySpanExporter()
        self.gate = Gate(SimpleSpanProcessor(self.cleaned), policy=policy)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.raw))
        self.provider.add_span_processor(self.gate)
        self.tracer = self.provider.get_tracer("test")

    def before(self) -> ReadableSpan:
        """Return the last span as its instrumentor wrote it."""
        return self.raw.get_finished_spans()[-1]

    def after(self) -> ReadableSpan:
        """Return the last span as it leaves."""
        return self.cleaned.get_finished_spans()[-1]

    def passes(self, key: str, value: Any, **others: Any) -> object:
        """Return what remains of one attribute."""
        self.tracer.start_span("x", attributes={key: value, **others}).end()
        return dict(self.after().attributes or {}).get(key)


@pytest.fixture
def kit() -> Kit:
    """Build a gate that allows nothing."""
    return Kit(Policy())
