"""redis: no spans outside of a request, a task or a run.

A Redis broker is polled for ever by every worker. Each poll would be a trace of
its own, of no use to anybody. Spans appear only under another span.
Query texts and documents (`FT.SEARCH`, trap 23) are removed in `runtime`.
"""

from __future__ import annotations

from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of
from etl_telemetry.instrumentation.under_parent import UnderParent


def instrument(instrumentor: Instrumentor | None, _: Config) -> Undo | None:
    """Instrument redis (`table.Adapter`)."""
    if instrumentor is None:
        return None
    instrumentor.instrument(tracer_provider=UnderParent())
    return undo_of(instrumentor)
