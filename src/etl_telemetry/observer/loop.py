"""The observer itself: take the lead, read each source in its own time, say what failed."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from etl_telemetry import guard, redaction, values
from etl_telemetry.catalogue import OBSERVER_SOURCE, REASON, SCOPE
from etl_telemetry.observer.lead import Lead
from etl_telemetry.observer.posting import board
from etl_telemetry.observer.readings import LAST_ROUND, Source, UnreadableError

_INTERVAL = 15.0
_log = logging.getLogger(f"{SCOPE}.observer")


class Observer:
    """Read sources and report them, while this is the observer that has the lead.

    Each source has a thread: one that hangs ends its own series after its timeout, and no other.

    >>> from etl_telemetry.observer import Alone
    >>> Observer([], lead=Alone()).once()
    True
    """

    def __init__(self, sources: Sequence[Source], *, lead: Lead, pause: float = 2.0) -> None:
        self._watches = [_Watch(source) for source in sources]
        board.expect(source.name for source in sources)
        self._lead = lead
        self._pause = pause
        self._leading: bool | None = None
        self._told_why = ""

    def run(self, stop: threading.Event) -> None:
        """Report until `stop` is set. Without the lead: try for it every `pause` seconds.

        The lead is still held afterwards, so that the last export is ours: `release` it then.
        """
        leading = threading.Event()
        for watch in self._watches:
            watch.start(leading, stop)
        self._turn(leading)
        while not stop.wait(self._pause):
            self._turn(leading)
            for watch in self._watches if leading.is_set() else ():
                watch.look()

    def once(self) -> bool:
        """Read every source once, one after the other; False where another observer reports."""
        if not self._hold():
            return False
        for watch in self._watches:
            watch.once()
        return True

    def release(self) -> None:
        """Close the sources, withdraw, and let another observer take over."""
        for watch in self._watches:
            watch.close()
        board.withdraw()
        with guard.absorb("the lead of the observer"):
            self._lead.release()

    def _turn(self, leading: threading.Event) -> None:
        if self._hold():
            leading.set()
        else:
            leading.clear()

    def _hold(self) -> bool:
        asked = time.monotonic()
        with _quietly():
            held, error = guard.outcome(self._lead.hold)
        if error is not None:
            self._tell_why(error)
        if held:
            # From before the question: the lock may have been given at its beginning.
            board.lead(asked + self._lead.ttl)
            self._told_why = ""
        elif error is None:
            board.withdraw()
        leads = board.leads
        if leads is not self._leading:
            self._leading = leads
            _log.info("observer_leads" if leads else "observer_waits")
        return leads

    def _tell_why(self, error: Exception) -> None:
        reason = _reason(error)
        if reason != self._told_why:
            self._told_why = reason
            _log.warning("observer_lead_failed", extra={REASON: reason})


class _Watch:
    """One source, and whether it can be read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._failed = False
        self._began: float | None = None
        self._changing = threading.Lock()
        self._turn = threading.Lock()
        self._was_read = self._closed = False

    def start(self, leading: threading.Event, stop: threading.Event) -> None:
        """Read it in its own time from now on, while this process leads."""
        self._thread(lambda: self._work(leading, stop))

    def once(self) -> None:
        """Read it once, and wait for it no longer than it may take."""
        thread = self._thread(lambda: self.read(good_for=math.inf))
        thread.join(self._source.timeout)
        if thread.is_alive():
            self._fail_to_answer()

    def look(self) -> None:
        """Say so where a reading takes longer than it may; the board has ended its series."""
        began = self._began
        if began is not None and time.monotonic() - began > self._source.timeout:
            self._fail_to_answer()

    def read(self, *, good_for: float) -> None:
        """Read it now, unless it is closed; what it says is told for that many seconds."""
        with self._turn:
            if not self._closed:
                self._was_read = True
                self._read(good_for)

    def _read(self, good_for: float) -> None:
        self._began = time.monotonic()
        with _quietly():
            readings, error = guard.outcome(lambda: tuple(self._source.read()))
        self._began = None
        if readings is None or error is not None:
            board.end(self._source.name)
            self._fail(_reason(error))
            return
        board.post(self._source.name, readings, time.monotonic() + good_for)
        with self._changing:
            if self._failed:
                self._failed = False
                _log.info("observer_source_recovered", extra={OBSERVER_SOURCE: self._source.name})

    def close(self) -> None:
        """Let it end, after the reading that is under way; it is not read again.

        One that hangs is left alone: the process ends all the same.
        """
        self._closed = True
        close = self._source.close
        if close is None or not self._was_read or not self._turn.acquire(timeout=LAST_ROUND):
            return
        with _quietly(), guard.absorb(f"closing the source {self._source.name}"):
            close()
        self._turn.release()

    def _work(self, leading: threading.Event, stop: threading.Event) -> None:
        interval = _INTERVAL if self._source.interval is None else self._source.interval
        while not stop.is_set():
            if not leading.wait(1.0):
                continue
            next_at = time.monotonic() + interval
            # Until the next reading must have been through.
            self.read(good_for=interval + self._source.timeout)
            stop.wait(max(0.0, next_at - time.monotonic()))

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        # A daemon: it may hang in the source, and the process ends all the same.
        name = f"etl-telemetry-observer-{self._source.name}"
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def _fail_to_answer(self) -> None:
        board.give_up(self._source.name)
        self._fail(f"no answer within {self._source.timeout:g} s")

    def _fail(self, reason: str) -> None:
        with self._changing:
            if not self._failed:
                self._failed = True
                fields = {OBSERVER_SOURCE: self._source.name, REASON: reason}
                _log.warning("observer_source_failed", extra=fields)


@contextmanager
def _quietly() -> Iterator[None]:
    """Ask broker and databases without a span for each question."""
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
    try:
        yield
    finally:
        context.detach(token)


def _reason(error: BaseException | None) -> str:
    """Say why in words that quote no data."""
    told = redaction.exception_text(values.text(error))
    return told if isinstance(error, UnreadableError) else f"{type(error).__name__}: {told}"
