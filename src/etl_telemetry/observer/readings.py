"""What is read, and where it is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from etl_telemetry.catalogue import Metric
from etl_telemetry.errors import TelemetryError


class UnreadableError(TelemetryError):
    """A source cannot be read now; the text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value, as it is now.

    >>> from etl_telemetry.catalogue import QUEUE_NAME, QUEUE_SIZE
    >>> Reading(QUEUE_SIZE, 12, {QUEUE_NAME: "celery"}).value
    12
    """

    metric: Metric
    """A gauge of the catalogue, which is set; or a counter of it, to which the value is added."""
    value: float
    """In the unit of the metric: finite, and for a counter not negative."""
    labels: Mapping[str, object] = field(default_factory=dict)
    """Exactly the attributes that the metric declares."""


LAST_ROUND = 5.0
"""Seconds in which a source ends: all of them together have some 30, by who stops the process."""


@dataclass(frozen=True, slots=True)
class Source:
    """A truth that is read again and again, on a thread of its own.

    >>> from etl_telemetry.catalogue import ACTIVE_PIPELINE_RUNS
    >>> runs = Source("runs", lambda: [Reading(ACTIVE_PIPELINE_RUNS, 3)], interval=30)
    >>> [reading.value for reading in runs.read()]
    [3]
    """

    name: str
    """Short snake_case name: in the log, and what `--without` takes."""
    read: Callable[[], Iterable[Reading]]
    """Read all of it. What an earlier call returned and this one does not ends. An error ends
    everything: `UnreadableError` with the reason in its text, or any other one."""
    interval: float | None = None
    """Seconds between two readings; None for those of the observer (`observer_interval`)."""
    timeout: float = 10.0
    """Seconds that one reading may take; past them the series end, until it has come back."""
    close: Callable[[], object] | None = None
    """Tell the last and give back what is held, once, where it was read and the observer ends in
    order: within `LAST_ROUND` seconds. No reading is under way then, and none follows."""
