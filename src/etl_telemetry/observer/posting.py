"""What is known now. The meter's callbacks read it, so a collection waits for nobody."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from etl_telemetry import guard
from etl_telemetry.catalogue import (
    OBSERVER_READINGS,
    OBSERVER_SCOPE,
    OBSERVER_SOURCE,
    STATUS,
    DropReason,
    Metric,
)
from etl_telemetry.metrics import label, limit_of
from etl_telemetry.observer.readings import Reading


@dataclass(frozen=True, slots=True)
class _Posted:
    """What one source has last said."""

    values: Mapping[str, tuple[Observation, ...]]
    """Gauges by the name of their metric."""
    until: float
    """Monotonic time from which on it is too old to be told."""
    at: float
    """Monotonic time at which it said so."""


class Board:
    """Hold the last readings of each source, as long as they are true and this process leads.

    Nothing here has a lock, since a fork could leave it locked: each step is one that CPython does
    as a whole. A forked child tells nothing; its parent does.
    """

    def __init__(self) -> None:
        self._posted: dict[str, _Posted] = {}
        self._counters: dict[str, metrics.Counter] = {}
        self._observed: dict[str, object] = {}
        self._leads_until = -math.inf
        self._expected: frozenset[str] = frozenset()
        self._awaited: set[str] = set()
        self._pid = os.getpid()
        self.handed_over = False
        """Whether another observer reports now, or soon will: our series go on, without us."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reports."""
        return time.monotonic() < self._leads_until and self._pid == os.getpid()

    def lead(self, until: float) -> None:
        """Report until a monotonic time, and no longer unless told again."""
        self._pid = os.getpid()
        self._leads_until = until
        self.handed_over = False

    def withdraw(self) -> None:
        """Report nothing any more. The series do not end: the next observer continues them."""
        self.handed_over = True
        self._leads_until = -math.inf
        self._posted = {}
        self._awaited = set(self._expected)

    def expect(self, sources: Iterable[str]) -> None:
        """Name the sources: until each has been heard, what is known is not the whole."""
        self._expected = frozenset(sources)
        self._awaited = set(self._expected)

    def give_up(self, source: str) -> None:
        """Wait no longer for a source."""
        self._awaited.discard(source)

    def posted_at(self, *, besides: str) -> float | None:
        """Return the monotonic time at which another source has last said what is still told.

        None without the lead, and as long as one of them has yet to be heard.
        """
        if not self.leads or self._awaited - {besides}:
            return None
        now = time.monotonic()
        posted = tuple(self._posted.items())
        times = [told.at for name, told in posted if name != besides and now < told.until]
        return max(times, default=None)

    def post(self, source: str, readings: Iterable[Reading], until: float = math.inf) -> None:
        """Replace what a source has said before; it is true until a monotonic time."""
        self._count(source, "success")
        values: dict[str, list[Observation]] = {}
        kept = _Bounds()
        for reading in readings:
            with guard.absorb("reading of the observer", reason=DropReason.INVALID_VALUE):
                labels = kept.labels(reading)
                if labels is not None:
                    self._take(reading, labels, values)
        told = {name: tuple(observations) for name, observations in values.items()}
        self._posted[source] = _Posted(told, until, time.monotonic())
        self.give_up(source)

    def end(self, source: str) -> None:
        """End the series of a source."""
        self._count(source, "error")
        self._posted.pop(source, None)
        self.give_up(source)

    def latest(self) -> list[tuple[str, Observation]]:
        """Return what is told now, with the names of the metrics; nothing without the lead."""
        return [(name, told) for name in tuple(self._observed) for told in self._told(name)]

    def _take(
        self, reading: Reading, labels: dict[str, str], values: dict[str, list[Observation]]
    ) -> None:
        metric = reading.metric
        if metric.kind == "counter":
            self._counter(metric).add(reading.value, labels)
            return
        values.setdefault(metric.name, []).append(Observation(reading.value, labels))
        mine = object()
        if self._observed.setdefault(metric.name, mine) is mine:
            metrics.get_meter(OBSERVER_SCOPE).create_observable_gauge(
                metric.name, [partial(self._tell, metric.name)], metric.unit, metric.description
            )

    def _count(self, source: str, status: str) -> None:
        # A counter, too, since no observable gauge makes a process begin to export.
        labels = {OBSERVER_SOURCE: label(source, attribute=OBSERVER_SOURCE), STATUS: status}
        self._counter(OBSERVER_READINGS).add(1, labels)

    def _counter(self, metric: Metric) -> metrics.Counter:
        made = self._counters.get(metric.name)
        if made is None:
            meter = metrics.get_meter(OBSERVER_SCOPE)
            made = meter.create_counter(metric.name, metric.unit, metric.description)
            self._counters[metric.name] = made
        return made

    def _tell(self, name: str, _: CallbackOptions) -> Iterable[Observation]:
        return self._told(name)

    def _told(self, name: str) -> list[Observation]:
        now = time.monotonic()
        if not self.leads:
            return []
        return [
            observation
            for told in tuple(self._posted.values())
            if now < told.until
            for observation in told.values.get(name, ())
        ]


class _Bounds:
    """Admit as many values of each label as the catalogue allows in one reading of a source.

    Not those of `metrics.labels`, which remember: workers come and go, and a gauge of `other`
    would be the value of whichever came last. What is too much is left out, and counted.
    """

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def labels(self, reading: Reading) -> dict[str, str] | None:
        """Return the labels to write, or None where the reading is wrong or one too many."""
        metric = reading.metric
        if set(reading.labels) != set(metric.attributes):
            _wrong(
                f"{metric.name} has exactly the labels {', '.join(metric.attributes) or '(none)'}"
            )
            return None
        if not _is_good(metric, reading.value):
            _wrong(f"{metric.name} must be a finite number that its kind of metric can take")
            return None
        labels = {key: label(value, attribute=key) for key, value in reading.labels.items()}
        return labels if all(self._admit(*item) for item in labels.items()) else None

    def _admit(self, key: str, value: str) -> bool:
        seen = self._seen.setdefault(key, set())
        if value not in seen and len(seen) >= limit_of(key):
            detail = f"{key} has more than {limit_of(key)} values: the observer left the rest out"
            guard.drop(DropReason.LABEL_OVERFLOW, detail=detail)
            return False
        seen.add(value)
        return True


def _is_good(metric: Metric, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return metric.kind == "gauge" or (metric.kind == "counter" and value >= 0)


def _wrong(detail: str) -> None:
    guard.drop(DropReason.INVALID_VALUE, detail=detail)


board = Board()
"""The board of this process."""
