"""Scripts that count things: `from support.counting import counting`."""

from __future__ import annotations

from textwrap import dedent

_COUNTER = """
    from opentelemetry import metrics
    counter = metrics.get_meter("test").create_counter("things")
"""


def counting(body: str) -> str:
    """Return a script that has a counter."""
    return dedent(_COUNTER) + dedent(body)
