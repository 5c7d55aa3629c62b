"""Read Django's settings where they exist, without bringing them into being.

Nothing here configures Django or makes it load its settings: `setup_telemetry()` may
stand in `settings.py` itself, or in the `celery.py` that the project's `__init__.py`
imports while Django is loading the settings. Where they are not loaded yet, the
module that `DJANGO_SETTINGS_MODULE` names is imported like any other one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import cast

from django.conf import ENVIRONMENT_VARIABLE, settings

from etl_telemetry import guard

_NAME = "ETL_TELEMETRY"


def read() -> Mapping[str, object] | None:
    """Return the setting `ETL_TELEMETRY`, or None where there is none, or no settings.

    Called by `settings.py` itself, it sees what stands above the call. Its value is
    returned as it is: `config.resolve` tells what is wrong with it.
    """
    return cast("Mapping[str, object] | None", _value(_NAME))


def directories() -> tuple[Path, ...]:
    """Return the project's directory (`BASE_DIR`), where a file `VERSION` may be."""
    base = _value("BASE_DIR")
    return (Path(base),) if isinstance(base, (str, Path)) else ()


def _value(name: str) -> object:
    if settings.configured:
        return getattr(settings, name, None)
    module = os.environ.get(ENVIRONMENT_VARIABLE)
    if not module:
        return None
    # In sys.modules it may be half imported: by itself, or by another thread.
    found = sys.modules.get(module)
    # What is wrong in the settings the host meets itself, in a moment and with its own words.
    with guard.absorb("reading Django's settings"), suppress(ImportError):
        found = found or import_module(module)
    return getattr(found, name, None)
