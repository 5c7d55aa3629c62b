"""Django: instrumented once its settings exist, never before.

OpenTelemetry's instrumentor calls ``settings.configure()`` where the settings do
not load, which freezes empty settings for the whole process (trap 5). So we look
first. Its SQL commenter stays off (psycopg2 may have one of its own), and ASGI
works because the extra `django` brings `opentelemetry-instrumentation-asgi`:
without that package the middleware ignores every ASGI request.
"""

from __future__ import annotations

import os
import sys

from django.conf import settings

from etl_telemetry import guard
from etl_telemetry.config import Config
from etl_telemetry.instrumentation.adapter import Instrumentor, Undo, undo_of


def instrument(instrumentor: Instrumentor | None, config: Config) -> Undo | None:
    """Instrument Django, or return None where its settings do not exist yet (`table.Adapter`).

    The middleware is added to ``settings.MIDDLEWARE``, so call this before the
    WSGI or ASGI application is made.
    """
    if instrumentor is None or not _settings_exist():
        return None
    instrumentor.instrument(is_sql_commentor_enabled=False)
    return undo_of(instrumentor)


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
