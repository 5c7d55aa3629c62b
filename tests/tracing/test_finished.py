"""Finished spans: handed over with their ids, or as ordinary spans of the right trace."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from etl_telemetry import guard
from etl_telemetry.tracing import FinishedSpan, emit
from support.telemetry import Telemetry

CONTEXT = SpanContext(0xA, 0xB, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
LINK = Link(SpanContext(0xC, 0xD, is_remote=True), {"why": "request"})


def finished(**changes: Any) -> FinishedSpan:
    """Return a finished span."""
    facts: dict[str, Any] = {
        "name": "run", "context": CONTEXT, "parent": None, "kind": SpanKind.INTERNAL,
        "start_ns": 5, "end_ns": 9, "attributes": {"a": 1}, "links": (LINK,), "error": "bad",
    }  # fmt: skip
    return FinishedSpan(**{**facts, **changes})


def test_our_provider_takes_it_with_its_ids(seen: Telemetry) -> None:
    """Everything as it was given."""
    emit(finished())
    (found,) = seen.spans()
    assert (found.name, found.context, found.parent, found.start_time, found.end_time) == (
        "run", CONTEXT, None, 5, 9,
    )  # fmt: skip
    assert (found.attributes, found.links) == ({"a": 1}, (LINK,))
    assert (found.status.status_code, found.status.description) == (StatusCode.ERROR, "bad")


def test_another_provider_gets_an_ordinary_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the trace that it belongs to, with the same times, links and error."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(
        "etl_telemetry.tracing.finished.tracer", lambda: provider.get_tracer("etl_telemetry")
    )
    emit(finished())
    emit(finished(error=None))
    found, good = exporter.get_finished_spans()
    assert (found.name, found.parent, found.start_time, found.end_time, found.kind) == (
        "run", CONTEXT, 5, 9, SpanKind.INTERNAL,
    )  # fmt: skip
    assert (found.context.trace_id, found.attributes) == (0xA, {"a": 1})  # type: ignore[union-attr]
    assert [link.context for link in found.links] == [LINK.context]
    assert (found.status.status_code, found.status.description) == (StatusCode.ERROR, "bad")
    assert good.status.status_code is StatusCode.UNSET


def test_provider_that_fails_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The failure is counted."""
    before = guard.drops().get("internal_error", 0)
    provider = trace.get_tracer_provider()
    monkeypatch.setattr(provider, "emit_finished_span", lambda _: 1 / 0, raising=False)
    emit(finished())
    assert guard.drops()["internal_error"] == before + 1
