"""What an instrumentor of OpenTelemetry looks like, and an adapter of ours around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from etl_telemetry.config import Config


class Instrumentor(Protocol):
    """OpenTelemetry's `BaseInstrumentor`, as far as we use it (upstream has no types there)."""

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether its library is instrumented in this process, by whomever."""

    def instrument(self, **options: Any) -> None:
        """Instrument its library; a version that does not fit is logged and left alone."""

    def uninstrument(self, **options: Any) -> None:
        """Take that away again."""


Undo = Callable[[], object]
"""Take one instrumentation away again."""
Adapter = Callable[["Instrumentor | None", Config], "Undo | None"]
"""Instrument one library with our fixes; None: not possible yet, ask again.

It may run within the import of its library, so that no module that it loads may be the one that
imported the library.
The instrumentor is None where another product already makes the spans: only an
entry with `more_than_spans` is asked then.
"""


def undo_of(instrumentor: Instrumentor) -> Undo | None:
    """Return how to undo ``instrumentor.instrument()``, or None where it did nothing."""
    return instrumentor.uninstrument if instrumentor.is_instrumented_by_opentelemetry else None
