"""Sums that outlive their process: rebuilt from a ledger at its start, and so continued.

In OTLP a new start time means that a writer began again at zero: receivers add what it had
counted before. So a process that starts with counting its ledger again would count twice.
Its sums begin where the ledger begins, in each process anew: the series goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from etl_telemetry import guard, values
from etl_telemetry.catalogue import (
    PIPELINE_EXECUTION_DURATION,
    PIPELINE_EXECUTIONS,
    DropReason,
    RunStatus,
)
from etl_telemetry.metrics.record import Seconds, record_pipeline_execution, run_labels
from etl_telemetry.metrics.totals import Labels, withdraw_run_totals

Execution = tuple[str, str, RunStatus | str, Seconds | None]
"""Pipeline, organization, status and duration of a run that was counted before."""


class _Rebuilt:
    """What this process has rebuilt."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.begins: dict[str, int] = {}
        self.series: dict[str, set[Labels]] = {}
        """Labels of the series that were brought back, by metric."""


_state = _Rebuilt()


def rebuild_pipeline_executions(executions: Iterable[Execution], *, since: datetime | float) -> int:
    """Count the runs of a ledger again, as the past of this process; return how many.

    For the one process that counts runs, before it counts any other. `since` is when the
    ledger begins (an aware datetime or Unix seconds), the same in each process. It needs a
    fixed `service_instance_id`, so that its series are those of the process before it.

    >>> rebuild_pipeline_executions([("daily", "acme", "success", 12.5)], since=1.76e9)
    1
    """
    begin = values.seconds(since.timestamp() if isinstance(since, datetime) else since)
    if begin is None or not isinstance(executions, Iterable):
        guard.drop(
            DropReason.INVALID_VALUE, detail="a ledger is rows, and the time at which it begins"
        )
        return 0
    rows = list(executions)  # An error of the application's database is the application's.
    number = 0
    with _state.lock:  # No collection may see half of the past.
        for row in rows:
            with guard.absorb("counting a row of the ledger", reason=DropReason.INVALID_VALUE):
                record_pipeline_execution(*row)
                _note(*row)
                number += 1
        for metric in (PIPELINE_EXECUTIONS, PIPELINE_EXECUTION_DURATION):
            _state.begins[metric.name] = int(begin * 1e9)
    return number


def _note(
    pipeline: str, organization: str, status: RunStatus | str, duration: Seconds | None = None
) -> None:
    labels = frozenset(run_labels(pipeline, organization, status).items())
    _state.series.setdefault(PIPELINE_EXECUTIONS.name, set()).add(labels)
    if duration is not None:
        _state.series.setdefault(PIPELINE_EXECUTION_DURATION.name, set()).add(labels)


def reset_after_fork() -> None:
    """Forget the past in a forked child: it is its parent's."""
    _state.lock = threading.RLock()
    _state.begins = {}
    _state.series = {}
    withdraw_run_totals()


def begin_of(metric: str) -> int | None:
    """Return when the sums of a metric began, in Unix nanoseconds; None: with this process."""
    return _state.begins.get(metric)


def goes_on(metric: str) -> Collection[Labels]:
    """Return the labels of the series of a metric that were brought back; others are new."""
    return _state.series.get(metric, frozenset())


@contextmanager
def settled() -> Iterator[None]:
    """Keep the past from being rebuilt while the block collects."""
    with _state.lock:
        yield
