"""Keep what led to a run (a request, a tick of beat) until the run's span is written.

The run begins in one process and its span is written at the end by another one, so the
links of the span have to wait in the table.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.trace import SpanContext, TraceFlags


def to_json(contexts: Iterable[SpanContext]) -> list[dict[str, object]]:
    """Return span contexts as JSON, with the ids in the usual hexadecimal digits."""
    return [
        {
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "flags": int(context.trace_flags),
        }
        for context in contexts
    ]


def from_json(links: Iterable[dict[str, object]]) -> list[SpanContext]:
    """Return the span contexts that `to_json` wrote."""
    return [
        SpanContext(
            trace_id=int(str(link["trace_id"]), 16),
            span_id=int(str(link["span_id"]), 16),
            is_remote=True,
            trace_flags=TraceFlags(int(str(link["flags"]))),
        )
        for link in links
    ]
