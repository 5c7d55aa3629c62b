"""Beat's own schedule, which it keeps in a file that nobody else can read while it runs."""

from __future__ import annotations

import threading
from typing import Any

from celery.beat import PersistentScheduler, ScheduleEntry

from etl_telemetry import guard, observing
from etl_telemetry.config import Config
from etl_telemetry.observer import Entry, Observer, Reading, Schedules, Source


def observe(service: Any, config: Config) -> None:
    """Make this beat an observer: of its own schedule, and of all that any observer reads.

    Called before it sends for the first time, so that what it missed while it was down is seen.
    """
    found = observing.sources(config)
    if isinstance(service.scheduler, PersistentScheduler):
        schedule = BeatSchedule(service.scheduler, tolerance=config.beat_tolerance)
        found.append(Source("beat", schedule.read, interval=config.observer_interval))
    observer = Observer(found, lead=observing.lead(config))
    threading.Thread(
        target=observer.run,
        args=[threading.Event()],  # Never set: it ends with beat, and the lock with it.
        name="etl-telemetry-observer",
        daemon=True,
    ).start()


class BeatSchedule:
    """The entries of a beat, as it sends them.

    Its file must not be touched from another thread: a shelf has one reader. So this notes what
    each entry is when beat begins and each time that it reserves one.
    """

    def __init__(self, scheduler: Any, *, tolerance: float) -> None:
        self._schedules = Schedules(tolerance=tolerance, from_begin=True)
        self._entries = {name: _entry(entry) for name, entry in scheduler.schedule.items()}
        # Now, since the first tick makes up for what was missed, and then it is not seen.
        self._first = self._schedules.readings(self._entries.values())
        reserve = scheduler.reserve

        def reserved(entry: ScheduleEntry) -> Any:
            new = reserve(entry)
            with guard.absorb("beat schedule"):
                self._entries[new.name] = _entry(new)
            return new

        scheduler.reserve = reserved

    def read(self) -> list[Reading]:
        """Return what was missed and what is due."""
        first, self._first = self._first, []
        missed = [reading for reading in first if reading.metric.kind == "counter"]
        return [*missed, *self._schedules.readings(tuple(self._entries.values()))]


def _entry(entry: Any) -> Entry:
    return Entry(str(entry.name), entry.schedule, entry.last_run_at)
