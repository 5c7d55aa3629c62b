"""RedBeat: schedules in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from celery import Celery

from etl_telemetry.observer import Entry, Reading, Schedules


def is_used(app: Celery) -> bool:
    """Return whether an app keeps its schedules in RedBeat."""
    conf: Any = app.conf
    named = "redbeat" in str(conf.beat_scheduler) or conf.get("redbeat_redis_url")
    return bool(named) and find_spec("redbeat") is not None


class RedBeat:
    """Read the entries of RedBeat."""

    def __init__(self, app: Celery, *, tolerance: float) -> None:
        self._app = app
        self._schedules = Schedules(tolerance=tolerance)

    def read(self) -> list[Reading]:
        """Return what was missed and what is due. Raises what redis raises."""
        return self._schedules.readings(tuple(self._entries()))

    def _entries(self) -> Iterator[Entry]:
        redbeat: Any = import_module("redbeat.schedulers")
        redis = redbeat.get_redis(self._app)
        for key in redis.zrange(redbeat.ensure_conf(self._app).schedule_key, 0, -1):
            try:
                entry = redbeat.RedBeatSchedulerEntry.from_key(key, app=self._app)
            except KeyError:  # It was deleted in between.
                continue
            if entry.enabled:
                yield Entry(entry.name, entry.schedule, entry.last_run_at)
