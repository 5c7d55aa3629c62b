"""What is current, said from another process; here, where a spawned one can import it."""

from __future__ import annotations

from typing import Any

from opentelemetry import baggage, trace

from etl_telemetry.pipelines import current_run
from etl_telemetry.runtime import propagation


def whereabouts() -> list[Any]:
    """Return what is current: trace, span, baggage, run."""
    here, run = trace.get_current_span().get_span_context(), current_run()
    return [here.trace_id, here.span_id, dict(baggage.get_all()), run and run.id]


def put(queue: Any) -> None:
    """Say from another process what is current there."""
    propagation.install(["tracecontext", "baggage"])
    queue.put(whereabouts())
