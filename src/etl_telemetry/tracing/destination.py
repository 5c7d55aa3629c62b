"""Leave for the baggage: it travels to places that the writer names, and to no others."""

from __future__ import annotations

from opentelemetry import context as context_api
from opentelemetry.context import Context

_OURS = context_api.create_key("etl_telemetry-destination-is-ours")


def to_named_place(context: Context | None = None) -> Context:
    """Return ``context`` (default: the current one) with leave to carry the baggage.

    >>> from opentelemetry import propagate
    >>> headers: dict[str, str] = {}
    >>> propagate.inject(headers, context=to_named_place())
    """
    return context_api.set_value(_OURS, "yes", context)


def is_named(context: Context | None) -> bool:
    """Return whether `to_named_place` made this context."""
    return context_api.get_value(_OURS, context) is not None
