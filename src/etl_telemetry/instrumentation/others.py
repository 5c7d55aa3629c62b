"""Notice who was here before us: other OpenTelemetry set-ups, ddtrace.

Whoever instrumented a library first keeps it: two instrumentations of one library
mean every span twice. Sentry needs no entry: its integrations report to Sentry
only, and where it exports OpenTelemetry it has set the providers, which
`runtime.lifecycle` handles.
"""

from __future__ import annotations

import sys

from etl_telemetry.instrumentation.adapter import Instrumentor

OPENTELEMETRY = "opentelemetry"
"""`opentelemetry-instrument`, or the application's own call of the instrumentor."""
DDTRACE = "ddtrace"

_MARKS = ("_datadog_patch", "__datadog_patch")
_MARKED = {"celery": "Celery"}
"""Where ddtrace marks not the module but something in it."""


def owner(library: str, instrumentor: Instrumentor) -> str | None:
    """Return who already makes spans for ``library``, or None.

    >>> from opentelemetry.instrumentation.logging import LoggingInstrumentor
    >>> owner("logging", LoggingInstrumentor()) is None
    True
    """
    if instrumentor.is_instrumented_by_opentelemetry:
        return OPENTELEMETRY
    return DDTRACE if _patched_by_ddtrace(library) else None


def _patched_by_ddtrace(library: str) -> bool:
    """Return whether ddtrace has left its mark (``ddtrace/contrib/internal/*/patch.py``)."""
    module = sys.modules.get(library)
    places = (module, getattr(module, _MARKED.get(library, ""), None))
    return any(getattr(place, mark, False) for place in places for mark in _MARKS)


def semconv_read_too_early() -> bool:
    """Return whether an instrumentor has already settled for the old names in this process.

    The state is upstream's private one, since it offers no question for it (trap 17).
    To be deleted when the stable names are upstream's default.
    """
    from opentelemetry.instrumentation._semconv import (
        _OpenTelemetrySemanticConventionStability as Stability,
    )
    from opentelemetry.instrumentation._semconv import (
        _OpenTelemetryStabilitySignalType as Signal,
    )
    from opentelemetry.instrumentation._semconv import _StabilityMode as Mode

    if not Stability._initialized:  # noqa: SLF001 - see above
        return False
    mode = Stability._get_opentelemetry_stability_opt_in_mode  # noqa: SLF001 - see above
    return Mode.DEFAULT in (mode(Signal.HTTP), mode(Signal.DATABASE))
