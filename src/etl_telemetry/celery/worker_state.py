"""What only a worker knows of itself: its slots, and what it has in hand.

Its main process tells, at each collection and under its own instance id: asking from outside
takes a broadcast and carries every task's arguments. Whether it is up, it cannot tell: that is
the observer's (`liveness.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from celery.worker import state
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from etl_telemetry import catalogue
from etl_telemetry.catalogue import SCOPE, WORKER_ACTIVE, WORKER_POOL_SIZE, WORKER_PREFETCHED
from etl_telemetry.metrics import label


class WorkerState:
    """The worker of this process, while it accepts tasks."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._name = catalogue.UNKNOWN
        self._pid = 0
        self._observed = False

    def begin(self, consumer: Any) -> None:
        """Tell of this worker from now on, in this process and in none of its children."""
        self._name = label(consumer.hostname, attribute=catalogue.WORKER_NAME)
        self._pool, self._pid = consumer.pool, os.getpid()
        if self._observed:
            return
        self._observed = True
        told: tuple[tuple[catalogue.Metric, Callable[[], int]], ...] = (
            (WORKER_POOL_SIZE, lambda: int(self._pool.num_processes)),
            (WORKER_ACTIVE, lambda: len(state.active_requests)),
            (WORKER_PREFETCHED, lambda: len(state.reserved_requests - state.active_requests)),
        )
        for metric, count in told:
            metrics.get_meter(SCOPE).create_observable_gauge(
                metric.name, [partial(self._tell, count)], metric.unit, metric.description
            )

    def end(self) -> None:
        """Tell nothing any more."""
        self._pool = None

    def _tell(self, count: Callable[[], int], _: CallbackOptions) -> Iterable[Observation]:
        if self._pool is None or self._pid != os.getpid():
            return ()
        return [Observation(count(), {catalogue.WORKER_NAME: self._name})]
