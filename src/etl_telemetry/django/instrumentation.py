"""Django: requests and databases, instrumented once its settings exist, never before.

The spans of requests are ours (`docs/explanation/decisions.md` says why);
OpenTelemetry's instrumentor tells whether somebody else makes them already, and is
marked as used, so that a later call of it adds no second one. It would call
``settings.configure()`` where the settings do not load, which freezes empty settings
for the whole process (trap 5). So we look first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo


def instrument(instrumentor: Instrumentor | None, config: Config) -> Undo | None:
    """Instrument Django, or return None where its settings do not exist yet (`table.Adapter`).

    Where somebody else makes the spans of requests, queries are counted all the same.
    """
    if not _settings_exist():
        return None
    # Late: without settings none of Django's handlers is anybody's business.
    from etl_telemetry.django.database import connections
    from etl_telemetry.django.requests import handlers
    from etl_telemetry.django.requests.exchange import Rules

    theirs = instrumentor is not None and instrumentor.is_instrumented_by_opentelemetry
    # Without an instrumentor ddtrace makes the spans, and measures nothing for OpenTelemetry.
    mine = instrumentor is not None and not theirs
    undos = (
        handlers.connect(Rules(config, make_spans=mine, measure=not theirs)),
        connections.connect(),
        _occupy(instrumentor) if mine else _nothing,
    )

    def undo() -> None:
        for one in undos:
            one()

    return undo


def _occupy(instrumentor: Any) -> Callable[[], None]:
    """Mark OpenTelemetry's instrumentor as used, by the flag that its own check reads."""
    instrumentor._is_instrumented_by_opentelemetry = True  # noqa: SLF001 - it has no other way

    def leave() -> None:
        instrumentor._is_instrumented_by_opentelemetry = False  # noqa: SLF001 - as above

    return leave


def _nothing() -> None:
    """Undo nothing."""


def _settings_exist() -> bool:
    """Return whether the settings are loaded, loading them where that disturbs nobody."""
    if settings.configured:
        return True
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module or _being_imported(module):
        return False
    with guard.absorb("loading Django's settings"):
        _ = settings.MIDDLEWARE
    return bool(settings.configured)


def _being_imported(module: str) -> bool:
    """Return whether ``module`` or a package around it is in the middle of its import.

    That is so where ``settings.py`` itself, or the ``celery.py`` that the
    project's ``__init__.py`` imports, sets telemetry up. Loading the settings from
    there would import them against half a project. `ready()` of our Django app,
    or the next `setup_telemetry()`, comes back.
    """
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    specs = (getattr(sys.modules.get(name), "__spec__", None) for name in names)
    return any(getattr(spec, "_initializing", False) for spec in specs)
