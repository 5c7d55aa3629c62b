"""Collect the metrics on a thread of our own, and hand them to an exporter.

The SDK's periodic reader restarts its thread in every forked child, where locks
that its parent held stay held: the child hangs (opentelemetry-python#4345,
#3307, #4767). So the reader gets no interval, and this thread collects. Delete
it when the reader leaves forks alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import suppress_instrumentation

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason
from etl_telemetry.runtime.batching import Pending

_MAX_WAITING = 10_000


class _Inside(threading.local):
    """Whether this thread is inside the SDK's metrics code, whose locks are not re-entrant."""

    busy = False


class Postponed:
    """Keep measurements that were made while their thread was inside the SDK.

    A destructor, a garbage-collection callback or a signal handler may record
    while the same thread holds an aggregation lock: that would block for ever
    (trap 4). Such a measurement waits for the next collection.
    """

    def __init__(self) -> None:
        self.inside = _Inside()
        self._waiting: deque[Callable[[], None]] = deque(maxlen=_MAX_WAITING)
        self._lost = 0

    def add(self, method: Callable[..., None], value: Any, attributes: Any, context: Any) -> None:
        """Keep one measurement, with the context it was made in."""
        if len(self._waiting) >= _MAX_WAITING:
            self._lost += 1  # Counted later: a log record from here might take any lock.
        context = get_current() if context is None else context
        self._waiting.append(lambda: method(value, attributes, context))

    def after_fork_in_child(self) -> None:
        """Forget what the parent postponed, and that its thread was inside."""
        self._waiting.clear()
        self._lost = 0
        self.inside.busy = False

    def record(self) -> None:
        """Record what waits. The calling thread is marked as inside."""
        while self._waiting:
            with guard.absorb("recording a postponed measurement"):
                self._waiting.popleft()()
        lost, self._lost = self._lost, 0
        if lost:
            guard.drop(DropReason.QUEUE_FULL, detail="too many measurements waited", count=lost)


class Collector:
    """Collect every `interval` seconds, on demand, and once more at the end."""

    def __init__(
        self, *, collect: Callable[[], bool], postponed: Postponed, interval: float
    ) -> None:
        self._collect = collect
        self._postponed = postponed
        self._interval = interval
        self._requests: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._delivered = True
        self._thread = threading.Thread(
            target=self._work, name="etl-telemetry-metrics", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def flush(self) -> Pending:
        """Ask for a collection and its export."""
        done = threading.Event()
        self._requests.put(done)
        return Pending(done=done, delivered=lambda: self._delivered)

    def close(self) -> Pending:
        """Ask for a last collection and its export, and let the thread end."""
        pending = self.flush()
        self._requests.put(None)
        return pending

    def _work(self) -> None:
        with suppress_instrumentation():  # Nothing that we do to export is exported.
            while True:
                try:
                    done = self._requests.get(timeout=self._interval)
                except Empty:
                    self._once()
                    continue
                if done is None:
                    return
                self._once()
                done.set()

    def _once(self) -> None:
        delivered = False
        inside = self._postponed.inside
        inside.busy = True
        with guard.absorb("collecting the metrics"):
            self._postponed.record()
            delivered = self._collect()
        inside.busy = False
        # At the end only: who waited for the collection before may be reading it now.
        self._delivered = delivered
