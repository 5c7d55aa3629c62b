"""The delivery that the current code is part of, as what it publishes must know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

_HERE = context_api.create_key("etl_telemetry-delivery")


@dataclass(frozen=True, slots=True)
class Here:
    """One delivery of a task, while it runs."""

    name: str
    """Name of the task."""
    request: Any
    """Celery's request."""
    span: SpanContext
    """Its span."""
    parent: SpanContext
    """What its retries are children of: the parent of its span, else the span itself."""

    def is_retried_by(self, task_id: object, retries: object) -> bool:
        """Return whether a message with this id and number is a retry of it."""
        now = getattr(self.request, "retries", None) or 0
        return task_id == self.request.id and isinstance(retries, int) and retries > now


def set_in(context: Context, here: Here) -> Context:
    """Return ``context`` with the delivery."""
    return context_api.set_value(_HERE, here, context)


def current() -> Here | None:
    """Return the delivery that the current code is part of, or None."""
    here = context_api.get_value(_HERE)
    return here if isinstance(here, Here) else None
