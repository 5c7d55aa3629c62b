"""Let a record leave where instrumentation is suppressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

SPANS_ONLY = "spans only"
"""Value of the key where records leave all the same; whoever suppresses more overwrites it."""
_KEYS = (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")
"""The key, and the older one that instrumentations still set."""


@contextmanager
def aloud() -> Iterator[None]:
    """Export the records of the block, also within the observer, whose queries make no spans.

    >>> with aloud():
    ...     pass
    """
    current = context.get_current()
    for key in _KEYS:
        current = context.set_value(key, value=False, context=current)
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)
