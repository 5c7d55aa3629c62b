"""The trace id in templates that get no request, as Django's `500.html` does."""

from __future__ import annotations

from django import template
from opentelemetry import trace

register = template.Library()


@register.simple_tag
def trace_id() -> str:
    """Return the id of the trace that we are in, or nothing.

    >>> trace_id()
    ''
    """
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
