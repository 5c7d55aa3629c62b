"""Queue sizes and database connections now: written by the observer, read by the pages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.utils import timezone

from etl_telemetry.catalogue import (
    DATABASE_ALIAS,
    DATABASE_CONNECTION_LIMIT,
    DATABASE_CONNECTIONS,
    DATABASE_SERVER_CONNECTIONS,
    DATABASE_TYPE,
    QUEUE_NAME,
    QUEUE_SIZE,
    STATE,
)
from etl_telemetry.django.dashboard import tables
from etl_telemetry.django.dashboard.models import Snapshot
from etl_telemetry.observer import board

_SHOWN = {
    metric.name: metric.attributes
    for metric in (
        QUEUE_SIZE,
        DATABASE_CONNECTIONS,
        DATABASE_SERVER_CONNECTIONS,
        DATABASE_CONNECTION_LIMIT,
    )
}
SOURCE = "dashboard"
"""Name of the source of the observer that writes."""
_MOST = 500
"""Readings that are kept; a page cannot show more."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One thing and its number now."""

    name: str
    """Queue, type of database, alias and state."""
    value: float
    """How many."""


@dataclass(frozen=True, slots=True)
class Now:
    """What the observer knows."""

    taken_at: datetime | None
    """When it was read; None: never."""
    is_current: bool
    """Whether that is recent enough to be called now."""
    queues: Sequence[Gauge] = ()
    """Messages that wait, by queue."""
    connections: Sequence[Gauge] = ()
    """Open connections, by type of database."""
    states: Sequence[Gauge] = ()
    """Open connections, by alias and state."""
    limits: Sequence[Gauge] = ()
    """Connections that the servers allow, by alias."""


def keep(*, good_for: float) -> None:
    """Write what the observer of this process says now.

    Nothing where the table lacks, and nothing without the lead or before every source was heard:
    what another observer wrote is better than half of it.
    """
    posted_at = board.posted_at(besides=SOURCE)
    if posted_at is None or tables.lacking([Snapshot]):
        return
    taken_at = timezone.now() - timedelta(seconds=time.monotonic() - posted_at)
    readings = [
        [name, {key: str(value) for key, value in (told.attributes or {}).items()}, told.value]
        for name, told in board.latest()
        if name in _SHOWN
    ]
    facts = {"taken_at": taken_at, "good_for": good_for, "readings": readings[:_MOST]}
    alias = router.db_for_write(Snapshot)
    Snapshot.objects.using(alias).update_or_create(pk=Snapshot.ONLY, defaults=facts)


def read() -> Now:
    """Return what was written last, with one query."""
    last = Snapshot.objects.filter(pk=Snapshot.ONLY).first()
    if last is None:
        return Now(taken_at=None, is_current=False)
    current = timezone.now() - last.taken_at <= timedelta(seconds=last.good_for)
    if not current:
        return Now(taken_at=last.taken_at, is_current=False)
    return Now(
        taken_at=last.taken_at,
        is_current=True,
        queues=_gauges(last.readings, QUEUE_SIZE.name, QUEUE_NAME),
        connections=_gauges(last.readings, DATABASE_CONNECTIONS.name, DATABASE_TYPE),
        states=_gauges(last.readings, DATABASE_SERVER_CONNECTIONS.name, DATABASE_ALIAS, STATE),
        limits=_gauges(last.readings, DATABASE_CONNECTION_LIMIT.name, DATABASE_ALIAS),
    )


def _gauges(readings: Sequence[Any], metric: str, *labels: str) -> list[Gauge]:
    return sorted(
        (
            Gauge(" ".join(_text(told, label) for label in labels), value)
            for name, told, value in readings
            if name == metric
        ),
        key=lambda gauge: gauge.name,
    )


def _text(told: Mapping[str, str], label: str) -> str:
    return told.get(label, "")
