"""The sources of the observer that need Django."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from django.apps import apps
from django.db import close_old_connections

from etl_telemetry.config import Config
from etl_telemetry.django import periodic_tasks
from etl_telemetry.observer import Reading, Source


def sources(config: Config) -> list[Source]:
    """Return what can be read in this project; nothing where Django is not set up."""
    if not apps.ready:
        return []
    found: list[Source] = []
    if periodic_tasks.is_used():
        tasks = periodic_tasks.PeriodicTasks(tolerance=config.beat_tolerance)
        found.append(Source("periodic_tasks", tasks.read))
    return [replace(source, read=_with_connections(source.read)) for source in found]


def _with_connections(read: Callable[[], Iterable[Reading]]) -> Callable[[], Iterable[Reading]]:
    """Drop connections that are broken or too old, as Django does around a request."""

    def reading() -> Iterable[Reading]:
        close_old_connections()
        try:
            return tuple(read())
        finally:
            close_old_connections()

    return reading
