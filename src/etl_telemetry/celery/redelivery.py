"""A redelivery is linked to the delivery before, where its worker knows it.

Nobody can write into a message that is in the broker. The worker's main process can add to the
request of one that it has received: as with its receipt (`waits.py`).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanContext

from etl_telemetry.pipelines import header

BEFORE = "etl_telemetry_before"
"""Key in Celery's request: the delivery before."""


def mark(request: Any, before: SpanContext) -> None:
    """Write the delivery before into a request of the worker's main process."""
    request.request_dict[BEFORE] = header.context_text(before)


def before(request: object) -> SpanContext | None:
    """Return what `mark` wrote."""
    return header.context_of(getattr(request, BEFORE, None))
