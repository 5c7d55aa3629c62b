"""Schedules: when each is due next, and how often it was due and nothing was sent.

What happened is the time of a schedule's last run, which beat alone sets: a task that somebody
starts by hand, or a backfill, changes nothing here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from etl_telemetry import guard
from etl_telemetry.catalogue import BEAT_MISSED, BEAT_NEXT_DUE, SCHEDULE_NAME
from etl_telemetry.observer.readings import Reading

_MOST = 10_000
"""Due times that one look at one schedule goes through."""


class Schedule(Protocol):
    """What every schedule of Celery can do."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
        """Return the time until it is due, negative where it is late; None: never."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One enabled entry of a schedule, as its truth tells it now."""

    name: str
    """Its name."""
    schedule: Schedule
    """When it is due."""
    last_run: datetime | None
    """When beat last sent it, aware; None: never."""


@dataclass(slots=True)
class _Seen:
    """What is known of an entry from the looks before."""

    begun: datetime
    """When it was first seen."""
    until: datetime
    """Due times up to here have happened or are counted."""
    rule: str
    """Its schedule, to notice that somebody changed it."""


class Schedules:
    """Compare what was expected with what happened, look after look.

    A due time is missed when `tolerance` seconds have passed and the truth names no later run; a
    run that comes later still does not take it back. `lag` is how late the truth may be itself.
    What was missed before the first look is counted only if `from_begin`: where the process that
    ran before may have counted it, counting it again would be worse. Of several due times between
    two looks, those before a run count as happened.
    """

    def __init__(self, *, tolerance: float, lag: float = 0.0, from_begin: bool = False) -> None:
        self._patience = timedelta(seconds=tolerance + lag)
        self._from_begin = from_begin
        self._seen: dict[str, _Seen] = {}

    def readings(self, entries: Iterable[Entry], now: datetime | None = None) -> list[Reading]:
        """Return what the entries tell at `now`, an aware time: the present one by default.

        >>> from datetime import timezone
        >>> Schedules(tolerance=60).readings([])
        []
        """
        now = datetime.now(UTC) if now is None else now
        found: list[Reading] = []
        before, self._seen = self._seen, {}
        for entry in entries:
            # One that cannot tell when it is due leaves the others alone.
            with guard.absorb("reading a schedule"):
                seen = before.get(entry.name) or self._first(entry, now)
                self._seen[entry.name] = seen
                found += self._look(entry, seen, now)
        return found

    def _first(self, entry: Entry, now: datetime) -> _Seen:
        begin = now if self._from_begin else now - self._patience
        run = entry.last_run or now
        return _Seen(now, run if self._from_begin else max(run, begin), repr(entry.schedule))

    def _look(self, entry: Entry, seen: _Seen, now: datetime) -> Iterator[Reading]:
        schedule = _at(now, entry.schedule)
        if entry.last_run is not None:
            seen.until = max(seen.until, entry.last_run)
        if (rule := repr(entry.schedule)) != seen.rule:
            seen.rule, seen.until = rule, now  # It was not due by this rule before.
        missed = 0
        due = _due(schedule, seen.until, now)
        while due is not None and seen.until < due <= now - self._patience and missed < _MOST:
            missed, seen.until = missed + 1, due
            due = _due(schedule, due, now)
        labels = {SCHEDULE_NAME: entry.name}
        yield Reading(BEAT_MISSED, missed, labels)
        next_due = _due(schedule, entry.last_run or seen.begun, now)
        if next_due is not None:
            yield Reading(BEAT_NEXT_DUE, next_due.timestamp(), labels)


def _at(now: datetime, schedule: Schedule) -> Schedule:
    """Return a copy of a schedule to which it is `now`.

    With a clock that goes on, the due time that it estimates would differ a little each time.
    """
    stopped: Any = copy.copy(schedule)
    stopped.nowfun = lambda: now
    return stopped  # type: ignore[no-any-return]


def _due(schedule: Schedule, after: datetime, now: datetime) -> datetime | None:
    remaining = schedule.remaining_estimate(after)
    return None if remaining is None else now + remaining
