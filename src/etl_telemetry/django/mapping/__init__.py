"""The host's own models of pipelines and runs, mapped by `ETL_TELEMETRY["MODELS"]`.

Resolved once, and proven: a system check tells what is wrong, and a process that serves
does not start with it, since checks run neither under WSGI nor in Celery.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from etl_telemetry import setup
from etl_telemetry.django import settings
from etl_telemetry.django.mapping.resolve import Resolution, resolve
from etl_telemetry.django.mapping.result import Mapped, Models, Statuses
from etl_telemetry.errors import ConfigurationError

__all__ = ["Mapped", "Models", "Statuses", "current", "problems", "usable"]

_NOTHING = (
    "MODELS must map your models of pipelines and runs, got nothing "
    "(from ETL_TELEMETRY in Django's settings); at least {'pipeline': ..., 'run': ...}"
)


def current() -> Models:
    """Return the models of this project.

    Raises `ConfigurationError` where they are not mapped, or wrongly.
    """
    resolution = _resolved()
    if resolution.models is None:
        raise ConfigurationError(resolution.problems or [_NOTHING])
    return resolution.models


def usable() -> bool:
    """Tell whether the project maps its models, and rightly."""
    return _resolved().models is not None


def problems() -> tuple[str, ...]:
    """Return everything that is wrong with the setting; nothing where there is none."""
    return tuple(_resolved().problems)


@cache
def _resolved() -> Resolution:
    telemetry = setup.active()
    if telemetry is not None and not telemetry.problems:
        return resolve(telemetry.config.models)
    # A command that goes on in spite of a wrong configuration has a configuration of defaults.
    given = settings.read()
    setting = given.get("MODELS") if isinstance(given, Mapping) else None
    return resolve(setting if isinstance(setting, Mapping) else {})
