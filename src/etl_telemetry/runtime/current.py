"""The SDK objects of the current process: built at first use, dropped after a fork."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason

Item_contra = TypeVar("Item_contra", contravariant=True)


class Flush(Protocol):
    """A flush that was asked for."""

    def wait(self, end: float) -> bool:
        """Wait until `end` (`time.monotonic()`); tell whether all was delivered by then."""


class WayOut(Protocol):
    """How one signal leaves this process: exported here, or handed to a relay."""

    def start(self) -> None:
        """Start what it needs to run."""

    def flush(self) -> Flush:
        """Ask for all that waits to be delivered."""

    def close(self) -> Flush:
        """Take no more, and deliver what waits."""


class Queue(WayOut, Protocol[Item_contra]):
    """The way out of what comes one by one: spans, log records."""

    def add(self, item: Item_contra) -> None:
        """Take one item. Never blocks."""

    def abandon(self) -> int:
        """Count what is still here as not delivered, and drop it."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The three SDK providers of one process, and their ways out; None where switched off."""

    traces: TracerProvider | None
    """Makes spans."""
    metrics: MeterProvider | None
    """Makes instruments."""
    logs: LoggerProvider | None
    """Makes log records."""
    finished: Callable[[ReadableSpan], None] | None
    """Takes a span that was not made by `traces`."""
    spans: Queue[ReadableSpan] | None
    """Where finished spans go."""
    records: Queue[ReadableLogRecord] | None
    """Where log records go."""
    collector: WayOut | None
    """What collects and exports the metrics."""
    shutdowns: tuple[Callable[[], None], ...]
    """Close the exporters' connections."""

    def ways(self) -> tuple[WayOut, ...]:
        """Return the ways out that there are."""
        return tuple(way for way in (self.spans, self.records, self.collector) if way is not None)

    def disconnect(self) -> None:
        """Close the exporters' connections."""
        for shutdown in self.shutdowns:
            with guard.absorb("closing an exporter"):
                shutdown()

    def discard(self) -> None:
        """End what was never used: export nothing, wait for nothing."""
        self.disconnect()
        for way in self.ways():
            way.close()


_PATIENCE = 1.0
"""Seconds to wait for another thread that builds."""


class Current:
    """Hold the signals of this process.

    `signals` is read on every measurement and span: delegates compare it with
    what they are bound to, and call `get` only when it differs.
    """

    __slots__ = ("_build", "_building", "_lock", "closed", "forks", "signals")

    def __init__(self, build: Callable[[int], Signals]) -> None:
        self._build = build
        self.signals: Signals | None = None
        self.forks = 0
        """Forks between the process that was set up and this one."""
        self.closed = False
        """True after shutdown: nothing is built any more."""
        self._lock = threading.RLock()
        self._building = False

    def get(self) -> Signals | None:
        """Return the signals; build them first where this process has none.

        None while they are being built by this very thread (exporters log), or by
        another one that takes long, and after shutdown.
        """
        # Bounded: the thread that builds may wait for a thread that it starts, where the
        # garbage collector runs a callback that measures, and comes here.
        if self.closed or not self._lock.acquire(timeout=_PATIENCE):
            return None
        try:
            return self.signals or self._make()
        finally:
            self._lock.release()

    def close(self, timeout: float) -> Signals | None:
        """Build nothing any more; return what there was, for the caller to end.

        Waits for a build in another thread, `timeout` seconds at most: that one
        finds itself closed, and ends what it has made.
        """
        self.closed = True
        got = self._lock.acquire(timeout=timeout)
        try:
            signals, self.signals = self.signals, None
            return signals
        finally:
            if got:
                self._lock.release()

    def renew(self) -> Signals | None:
        """Return the signals and forget them, also after `close`: the next use builds new ones."""
        with self._lock:
            signals, self.signals = self.signals, None
            self.closed = False
            return signals

    def _make(self) -> Signals | None:
        if self._building:
            return None
        if not threading.main_thread().is_alive():  # No thread starts any more (Python 3.12).
            self.closed = True
            guard.drop(DropReason.NOT_DELIVERED, detail="first used at the interpreter's exit")
            return None
        self._building = True
        made: Signals | None = None
        try:
            with guard.absorb("building the SDK objects of this process"):
                made = self._build(self.forks)
            if made is None:  # A build that failed once fails always: do not try on every span.
                self.closed = True
            elif self.closed:  # By a signal handler, or by a thread that waits for the lock.
                made.discard()
            else:
                self.signals = made
        finally:  # An interrupt may come in between; the next call tries again.
            self._building = False
        return self.signals

    def after_fork_in_child(self) -> None:
        """Forget the parent's objects and locks; build nothing here."""
        self.signals = None
        self.forks += 1
        self._lock = threading.RLock()
        self._building = False
