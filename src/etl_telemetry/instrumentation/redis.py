"""redis: no spans outside of a request, a task or a run.

A Redis broker is polled for ever by every worker. Each poll would be a trace of
its own, of no use to anybody. Spans appear only under another span.
Query texts and documents (`FT.SEARCH`, trap 23) are removed in `runtime`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_telemetry.config import Config
from etl_telemetry.instrumentation.under_parent import UnderParent

if TYPE_CHECKING:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

    from etl_telemetry.instrumentation.table import Undo


def instrument(instrumentor: BaseInstrumentor | None, _: Config) -> Undo | None:
    """Instrument redis (`table.Adapter`)."""
    if instrumentor is None:
        return None
    instrumentor.instrument(tracer_provider=UnderParent())
    return instrumentor.uninstrument if instrumentor.is_instrumented_by_opentelemetry else None
