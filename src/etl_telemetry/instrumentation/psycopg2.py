"""psycopg2: what we leave off, on purpose.

- `skip_dep_check` stays off: the instrumentor recognises psycopg2-binary too.
- The SQL commenter stays off: in psycopg2 and Django together it comments twice.
- `capture_parameters` stays off: parameters are data. Values inside of statements
  (`execute_values` passes mogrified bytes, trap 19) are removed in `runtime`,
  where every span passes, also those of other drivers.
"""

from __future__ import annotations

from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of


def instrument(instrumentor: Instrumentor | None, _: Config) -> Undo | None:
    """Instrument psycopg2 (`table.Adapter`)."""
    if instrumentor is None:
        return None
    instrumentor.instrument()
    return undo_of(instrumentor)
