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

    done: threading.Event | None
    """Set when it is through; None where there was nothing to ask."""
    delivered: Callable[[], bool]
    """Tell, afterwards, whether all of it was delivered."""

    def wait(self, end: float) -> bool:
        """Wait until `end` (`time.monotonic()`); tell whether all was delivered by then."""
        if self.done is not None and not self.done.wait(max(0.0, end - time.monotonic())):
            return False
        return self.delivered()


class Batcher(Generic[Item]):
    """Collect items from any thread; export them in batches on one thread of its own.

    `export` gets a list and returns whether it was delivered. The thread starts
    with the first item, so a process that emits nothing has none.
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
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._in_flight = 0
        self._failed = 0

    def add(self, item: Item) -> None:
        """Queue one item. Never blocks."""
        if self._closed:
            guard.drop(DropReason.NOT_DELIVERED, detail=f"{self._signal} after shutdown")
            return
        queue = self._queue
        if len(queue) >= self._limits.queue_size:
            guard.drop(DropReason.QUEUE_FULL, detail=f"the queue of {self._signal} is full")
        queue.append(item)
        if self._thread is None:
            self._start()
        if len(queue) % self._limits.batch_size == 0:
            self._wake.put(None)

    def flush(self) -> Pending:
        """Ask for an export of all that waits; the answer tells whether it was delivered."""
        if self._thread is None:
            return Pending(done=None, delivered=lambda: not self._queue)
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
        left = len(self._queue) + self._in_flight
        self._queue.clear()
        if left:
            guard.drop(
                DropReason.NOT_DELIVERED, detail=f"{self._signal} left at the deadline", count=left
            )
        return left

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # Another thread, or this one in a destructor, is at it.
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name=f"etl-telemetry-{self._signal}", daemon=True
                )
                with guard.absorb(f"starting the thread of {self._signal}"):
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def _work(self) -> None:
        with suppress_instrumentation():  # Nothing that we do to export is exported.
            while True:
                done = self._next_wake()
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
        queue, size = self._queue, self._limits.batch_size
        while queue:
            batch: list[Item] = []
            while queue and len(batch) < size:
                batch.append(queue.popleft())
            self._in_flight = len(batch)
            delivered = False
            with guard.absorb(f"exporting {self._signal}"):
                delivered = self._export(batch)
            self._in_flight = 0
            if not delivered:
                self._failed += len(batch)
                guard.drop(
                    DropReason.NOT_DELIVERED,
                    detail=f"{self._signal} refused by the receiver, or no receiver",
                    count=len(batch),
                )
