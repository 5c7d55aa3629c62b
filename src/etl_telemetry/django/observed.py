"""The sources of the observer that need Django: database servers, run table, audit events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import close_old_connections

from etl_telemetry.catalogue import (
    ACTIVE_PIPELINE_RUNS,
    ACTIVE_RUN_AGE,
    AUDIT_WAITING,
    DATABASE_ALIAS,
    LAST_SUCCESS,
    ORGANIZATION,
    PIPELINE_NAME,
)
from etl_telemetry.config import Config
from etl_telemetry.django import mapping, periodic_tasks
from etl_telemetry.django.database import server
from etl_telemetry.observer import LAST_ROUND, Reading, Source, UnreadableError

if TYPE_CHECKING:  # Models: not before all apps are there.
    from etl_telemetry.django.audit.drain import Drained


def sources(config: Config) -> list[Source]:
    """Return what can be read in this project; nothing where Django is not set up."""
    if not apps.ready:
        return []
    found = [Source("database_servers", _servers)]
    if periodic_tasks.is_used():
        tasks = periodic_tasks.PeriodicTasks(tolerance=config.beat_tolerance)
        found.append(Source("periodic_tasks", tasks.read))
    if mapping.usable():
        found.append(Source("runs", _runs))
        found.append(_ledger())
    if config.audit_table:
        # After the ledger, whose last round has events of its own.
        found.append(Source("audit", _audit, close=_drain_audit))
    if mapping.usable():
        # Last: with `--once` it keeps what those before it have read.
        found.append(Source("dashboard", partial(_dashboard, config.observer_interval)))
    return [replace(source, read=_with_connections(source.read)) for source in found]


def _servers() -> Iterator[Reading]:
    for metric, value, labels in server.read():
        yield Reading(metric, value, labels)


def _runs() -> Iterator[Reading]:
    """End what is overdue, then tell what the run table says."""
    from etl_telemetry.django import ledger  # Models: not before all apps are there.

    ledger.end_overdue()
    yield Reading(ACTIVE_PIPELINE_RUNS, ledger.active_runs())
    for metric, by_pipeline in (
        (ACTIVE_RUN_AGE, ledger.active_run_ages()),
        (LAST_SUCCESS, ledger.last_successes()),
    ):
        for (pipeline, organization), value in by_pipeline.items():
            yield Reading(metric, value, {PIPELINE_NAME: pipeline, ORGANIZATION: organization})


def _ledger() -> Source:
    """Return the source that drains the ledger."""
    from etl_telemetry.django.ledger import source  # Models, see above.

    kept = source.LedgerSource()
    return Source(
        "ledger", kept.read, interval=source.INTERVAL, timeout=source.TIMEOUT, close=kept.close
    )


def _audit() -> Iterator[Reading]:
    """Drain the audit events, then tell what is left of them."""
    from etl_telemetry.django.audit import drain  # Models, see above.

    for one in _drain_audit(math.inf):
        if one.error:
            raise UnreadableError(f"{one.database}: {one.error}")
        left = drain.waiting(one.database)
        yield Reading(AUDIT_WAITING, left, {DATABASE_ALIAS: one.database})


def _drain_audit(seconds: float = LAST_ROUND) -> list[Drained]:
    """Deliver the audit events that wait; past so many seconds begin with no further ones."""
    from etl_telemetry.django.audit import drain  # Models, see above.

    drainer = drain.drainer_of_process()
    try:
        return drainer.drain_all(until=time.monotonic() + seconds)
    finally:
        drainer.release()  # This observer may stop now, and another one take over.


def _dashboard(interval: float) -> Iterator[Reading]:
    """Keep the readings of all sources for the pages; there is nothing more to tell."""
    from etl_telemetry.django.dashboard import now  # Models, see above.

    # Three turns: one may be late without the page saying that the observer has gone.
    now.keep(good_for=3 * interval + 10)
    yield from ()


def _with_connections(read: Callable[[], Iterable[Reading]]) -> Callable[[], Iterable[Reading]]:
    """Drop connections that are broken or too old, as Django does around a request."""

    def reading() -> Iterable[Reading]:
        close_old_connections()
        try:
            return tuple(read())
        finally:
            close_old_connections()

    return reading
