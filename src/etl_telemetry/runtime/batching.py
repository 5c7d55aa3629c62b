"""Queue finished spans and log records, and hand them to an exporter in batches.

Why not the SDK's BatchProcessor: its `force_flush` ignores its timeout
(opentelemetry-python#4568), it takes no deadline at shutdown, drops without a
count, restarts its thread inside the fork hook of every child, and its wake-up
takes a lock that is not safe in destructors. Delete this file when upstream has
a deadline and a drop count, and leaves forks alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much is kept, how much goes at once, and how long it may wait."""

    queue_size: int
    """Items kept; past it the oldest is dropped and counted."""
    batch_size: int
    """Items per export."""
    delay: float
    """Seconds between exports while fewer than a batch wait."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A flush that was asked for, on the thread that does it."""

    done: threading.Event
    """Set when it is through."""
    delivered: Callable[[], bool]
    """Tell, afterwards, whether all of it was delivered."""

    def wait(self, end: float) -> bool:
        """Wait until `end` (`time.monotonic()`); tell whether all was delivered by then."""
        if not self.done.wait(max(0.0, end - time.monotonic())):
            return False
        return self.delivered()


class Batcher(Generic[Item]):
    """Collect items from any thread; export them in batches on one thread of its own.

    `export` gets a list and returns whether it was delivered.
    """

    def __init__(
        self,
        *,
        signal: str,
        export: Callable[[list[Item]], bool],
        limits: BatchLimits,
    ) -> None:
        self._signal = signal
        self._export = export
        self._limits = limits
        self._queue: deque[Item] = deque(maxlen=limits.queue_size)
        # SimpleQueue.put is re-entrant, so that a destructor or a signal handler
        # that ends a span cannot deadlock (trap 4). Only wake-ups go through it.
        self._wake: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, name=f"etl-telemetry-{signal}", daemon=True
        )
        self._woken = False
        self._closed = False
        self._abandoned = False
        self._in_flight = 0
        self._failed = 0

    def start(self) -> None:
        """Start the thread. Not at the first item: at the exit that is too late (Python 3.12)."""
        self._thread.start()

    def add(self, item: Item) -> None:
        """Queue one item. Never blocks."""
        if self._closed:
            guard.drop(DropReason.NOT_DELIVERED, detail=f"{self._signal} after shutdown")
            return
        queue = self._queue
        if len(queue) >= self._limits.queue_size:
            guard.drop(DropReason.QUEUE_FULL, detail=f"the queue of {self._signal} is full")
        queue.append(item)
        # One wake-up waits at most: a full queue would leave one for each item it drops.
        if len(queue) >= self._limits.batch_size and not self._woken:
            self._woken = True
            self._wake.put(None)

    def flush(self) -> Pending:
        """Ask for an export of all that waits; the answer tells whether it was delivered."""
        failed_before = self._failed
        done = threading.Event()
        self._wake.put(done)
        return Pending(done=done, delivered=lambda: self._failed == failed_before)

    def close(self) -> Pending:
        """Take no more, flush, and let the thread end."""
        pending = self.flush()
        self._closed = True
        self._wake.put(None)
        return pending

    def abandon(self) -> int:
        """Count what is still here at the deadline as not delivered, and drop it."""
        self._abandoned = True  # What is in flight is counted here, and not again.
        left = len(self._queue) + self._in_flight
        self._queue.clear()
        if left:
            guard.drop(
                DropReason.NOT_DELIVERED, detail=f"{self._signal} left at the deadline", count=left
            )
        return left

    def _work(self) -> None:
        with suppress_instrumentation():  # Nothing that we do to export is exported.
            while True:
                done = self._next_wake()
                self._woken = False
                self._drain()
                if done is not None:
                    done.set()
                # Whoever closes asks for a flush before: it is answered, or still in here.
                if self._closed and not self._queue and self._wake.empty():
                    return

    def _next_wake(self) -> threading.Event | None:
        try:
            return self._wake.get(timeout=self._limits.delay)
        except Empty:
            return None

    def _drain(self) -> None:
        # What is here now, and no more: who waits for a flush must be answered under load too.
        waiting = len(self._queue)
        while waiting > 0 and (batch := self._next_batch()):
            waiting -= len(batch)
            self._in_flight = len(batch)
            delivered = False
            with guard.absorb(f"exporting {self._signal}"):
                delivered = self._export(batch)
            self._in_flight = 0
            if not delivered:
                self._failed += len(batch)
                if not self._abandoned:
                    guard.drop(
                        DropReason.NOT_DELIVERED,
                        detail=f"{self._signal} refused by the receiver, or no receiver",
                        count=len(batch),
                    )

    def _next_batch(self) -> list[Item]:
        batch: list[Item] = []
        with suppress(IndexError):  # Empty, or emptied meanwhile by `abandon`.
            while len(batch) < self._limits.batch_size:
                batch.append(self._queue.popleft())
        return batch
