"""A tracer that makes spans only under another span."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, TracerProvider


class UnderParent(TracerProvider):
    """Hand out tracers of the global provider that stay silent where no span is current."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return a tracer for an instrumentor that was given this provider."""
        return _Tracer(trace.get_tracer_provider().get_tracer(*args, **kwargs))


class _Tracer(Tracer):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self, name: str, context: Context | None = None, *args: Any, **kwargs: Any
    ) -> Span:
        if not trace.get_current_span(context).get_span_context().is_valid:
            return INVALID_SPAN
        return self._tracer.start_span(name, context, *args, **kwargs)

    def start_as_current_span(
        self, name: str, context: Context | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        if not trace.get_current_span(context).get_span_context().is_valid:
            return trace.use_span(INVALID_SPAN)
        return self._tracer.start_as_current_span(name, context, *args, **kwargs)
