"""Figures over time: the runs that began in each minute, hour, day or week of a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMinute, TruncWeek
from django.utils import timezone

from etl_telemetry.django import mapping
from etl_telemetry.django.figures import percentiles
from etl_telemetry.django.figures.expressions import computed, measured, own, rows
from etl_telemetry.django.figures.queries import COUNTS, alias_of, counts
from etl_telemetry.django.figures.windows import Scope, bounds

_MINUTES, _HOURS, _DAYS = timedelta(hours=2), timedelta(days=3), timedelta(days=90)
"""Longest windows that are told by minutes, by hours, and by days."""
_CUTS = {"minute": TruncMinute, "hour": TruncHour, "day": TruncDay, "week": TruncWeek}
_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
_BUCKET = own("bucket")


@dataclass(frozen=True, slots=True)
class RunBucket:
    """The runs that began in a part of the window."""

    begin: datetime
    """First moment of the part: aware where the project's times are."""
    seconds: float
    """How much of the window lies in it."""
    successful_runs: int
    """Runs that succeeded."""
    failed_runs: int
    """Runs that failed or were lost."""
    cancelled_runs: int
    """Runs that somebody cancelled."""
    active_runs: int
    """Runs that have still to end."""
    rows: int | None
    """Rows of their task runs; None where no task runs are mapped."""
    median_duration: float | None
    """In seconds, of those that succeeded; None where none did."""
    p95_duration: float | None
    """The same: one in twenty took longer."""
    part: str
    """What it is: `minute`, `hour`, `day` or `week`."""

    @property
    def ended_runs(self) -> int:
        """Runs that ended, however."""
        return self.successful_runs + self.failed_runs + self.cancelled_runs

    @property
    def success_rate(self) -> float | None:
        """Successful runs among those that ended, from 0 to 1; None where none ended."""
        return self.successful_runs / self.ended_runs if self.ended_runs else None

    @property
    def rows_per_hour(self) -> float | None:
        """Rows by the hours of the window that lie in it."""
        return None if self.rows is None or not self.seconds else self.rows * 3600 / self.seconds


def run_series(
    *,
    window: timedelta,
    organizations: Iterable[Any] | None = None,
    pipelines: Iterable[Any] | None = None,
    until: datetime | None = None,
    using: str | None = None,
) -> list[RunBucket]:
    """Return the runs by minute (windows of up to 2 hours), hour (3 days), day (90 days) or week.

    Two queries on PostgreSQL, three elsewhere. Days are those of the project's `TIME_ZONE`, and
    weeks begin with its Mondays; they are those of UTC where the server knows no time zones.

    Args:
        window: Length of the window.
        organizations: Only the pipelines of these: instances, keys or a query set.
        pipelines: Only these: instances, keys or a query set.
        until: Its end, exclusive; by default now.
        using: Alias of the database; by default the one from which the host reads runs.

    Raises:
        ConfigurationError: The host's models are not mapped.
        ValueError: The window is not longer than nothing.
    """
    models = mapping.current()
    end = timezone.now() if until is None else until
    since, last = bounds(window, end)
    using = alias_of(models, using)
    scope = Scope(models, using, organizations, pipelines, since, last)
    part = _part(window)
    truncate, zone = _CUTS[part], _zone(part, using)
    counted = dict(_counted(scope, truncate, zone))
    processed = _processed(scope, truncate, zone)
    return [
        _bucket(part, begin, seconds, counted.get(_key(begin, zone), {}),
                None if processed is None else processed.get(_key(begin, zone), 0))
        for begin, seconds in _parts(part, since, since + window, zone)
    ]  # fmt: skip


def _part(window: timedelta) -> str:
    if window <= _MINUTES:
        return "minute"
    if window <= _HOURS:
        return "hour"
    return "day" if window <= _DAYS else "week"


def _zone(part: str, using: str) -> tzinfo | None:
    """Return the zone that counts the parts; None where the project's times are naive.

    Hours are those of UTC: where clocks go back, one of them exists twice. MariaDB and MySQL
    without tables of time zones would cut every day to NULL.
    """
    if not settings.USE_TZ:
        return None
    knows = connections[using].features.has_zoneinfo_database
    return timezone.get_default_timezone() if part in {"day", "week"} and knows else UTC


def _key(begin: datetime, zone: tzinfo | None) -> datetime:
    """Return a begin as the clock on the wall shows it."""
    return begin if zone is None else begin.astimezone(zone).replace(tzinfo=None)


def _parts(
    part: str, since: datetime, until: datetime, zone: tzinfo | None
) -> Iterator[tuple[datetime, float]]:
    """Give the begin of each part of a window, and how many seconds of the window are in it."""
    begin = (since if zone is None else since.astimezone(zone)).replace(second=0, microsecond=0)
    length = _LENGTHS[part]
    if part != "minute":
        begin = begin.replace(minute=0)
    if part in {"day", "week"}:
        begin = begin.replace(hour=0)
    if part == "week":
        begin -= timedelta(days=begin.weekday())
    while begin < until:
        following = begin + length  # On the wall: a day may have 23 hours.
        covered = min(_absolute(following), _absolute(until)) - max(
            _absolute(begin), _absolute(since)
        )
        yield begin, covered.total_seconds()
        begin = following


def _absolute(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC)


def _counted(
    scope: Scope, truncate: type[Any], zone: tzinfo | None
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    models = scope.models
    began = models.run["started_at"]
    runs = scope.runs().annotate(**{_BUCKET: truncate(began, **_in(zone))})
    grouped: QuerySet[Any, dict[str, Any]] = runs.values(_BUCKET).annotate(
        **{own("measured"): Count(began, filter=measured(models)), **counts(models)}
    )
    places: Mapping[object, dict[str, float]] = {}
    if connections[scope.using].vendor == "postgresql":
        grouped = grouped.annotate(**percentiles.aggregates(models))
    else:
        places = percentiles.by_hand(models, runs, _BUCKET)
    for facts in grouped:
        bucket = facts[_BUCKET]
        yield _key(bucket, zone), {**computed(facts), **places.get(bucket, {})}


def _processed(
    scope: Scope, truncate: type[Any], zone: tzinfo | None
) -> Mapping[datetime, int] | None:
    task_run = scope.models.task_run
    if task_run is None:
        return None
    began = f"{task_run['run']}__{scope.models.run['started_at']}"
    found = (
        scope.tasks()
        .annotate(**{_BUCKET: truncate(began, **_in(zone))})
        .values_list(_BUCKET)
        .annotate(**{own("number"): Sum(rows(task_run["metrics"], scope.models.rows))})
    )
    return {_key(bucket, zone): number for bucket, number in found}


def _in(zone: tzinfo | None) -> dict[str, tzinfo]:
    return {} if zone is None else {"tzinfo": zone}


def _bucket(
    part: str, begin: datetime, seconds: float, facts: Mapping[str, Any], rows: int | None
) -> RunBucket:
    took = bool(facts.get("measured"))
    return RunBucket(
        begin=begin,
        seconds=seconds,
        **{name: facts.get(name, 0) for name in COUNTS},
        rows=rows,
        median_duration=facts.get("median") if took else None,
        p95_duration=facts.get("p95") if took else None,
        part=part,
    )
