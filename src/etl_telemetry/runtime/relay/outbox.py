"""What a child hands over, and when. Nothing here blocks, except `drain`, at a process' end.

Each finished span and each log record is handed over at once: what a task had done is
kept when it is killed a moment later. Around the begin and the end of a delivery they are
held, and cross the socket together with its mark and its metrics in one message, so that
the end of a delivery arrives as a whole or not at all.

While the socket is full, what finishes waits here, bounded and counted. Metrics wait in the
SDK's sums, where they need no more room, and are lost only with the process.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from etl_telemetry import guard
from etl_telemetry.catalogue import DropReason
from etl_telemetry.runtime.relay import wire
from etl_telemetry.runtime.relay.wire import Kind, Section

Item = TypeVar("Item")
_HELD = 64
"""Items that are held at most: a hold that nobody releases costs delay, not data."""
_MARKS = 1_000
_LATER = frozenset({errno.ENOBUFS, errno.ENOMEM})
"""Errors of a system that is short of memory; any other one means that nobody reads any more."""
_BRIEF = 0.005
"""Seconds between two looks at what another thread hands over."""
_PAUSE = 0.05
"""Seconds between two tries at the end, where the socket tells of room too late."""


class Outbox:
    """Hold what waits in this process, and hand it over.

    Needs no lock on the way in. Who finds another thread (or itself, further up the stack: a
    destructor, a signal handler) handing over leaves its item to that one.
    """

    def __init__(
        self,
        sending: socket.socket,
        *,
        resource: bytes,
        queue_sizes: tuple[int, int],
        collect: Callable[[], bytes | None],
        gone: Callable[[], None],
    ) -> None:
        """Send by `sending`; `collect` gives OTLP metrics, empty for none, None for not now.

        `gone` hears, once, that nobody reads any more.
        """
        self._socket = sending
        self._resource: Section = (Kind.RESOURCE, resource)
        self._collect = collect
        self._tell_gone = gone
        self._spans: deque[ReadableSpan] = deque(maxlen=queue_sizes[0])
        self._records: deque[ReadableLogRecord] = deque(maxlen=queue_sizes[1])
        self._marks: deque[bytes] = deque(maxlen=_MARKS)
        self._waiting: deque[bytes] = deque()  # Datagrams of the one message that is on its way.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._sequence = 0
        self._held = False
        self._measure = False
        self._greet = False
        self._gone = False

    def add_span(self, span: ReadableSpan) -> None:
        """Hand over a span, now or as soon as there is room. Never blocks."""
        if self._gone:
            self._refuse()
            return
        if len(self._spans) == self._spans.maxlen:
            guard.drop(DropReason.QUEUE_FULL, detail="the relay is full: a span was dropped")
        self._spans.append(span)
        self._unless_held()

    def add_record(self, record: ReadableLogRecord) -> None:
        """Hand over a log record, likewise."""
        if self._gone:
            self._refuse()
            return
        if len(self._records) == self._records.maxlen:
            guard.drop(DropReason.QUEUE_FULL, detail="the relay is full: a log record was dropped")
        self._records.append(record)
        self._unless_held()

    def greet(self) -> None:
        """Tell that this process is there, so that its end is noticed whatever it does."""
        self._greet = True
        self.push()

    def hold(self) -> None:
        """Keep what finishes from here on for the message that `release` sends."""
        self._held = True

    def release(self, mark: bytes | None = None, *, measure: bool = False) -> None:
        """Hand over what waits, with a mark, and with the metrics where they are asked for."""
        self._held = False
        if measure:
            self._measure = True
        if mark is not None:  # Last: who takes it takes all that came before.
            if len(self._marks) == _MARKS:
                guard.drop(DropReason.QUEUE_FULL, detail="the relay is full: a mark was dropped")
            self._marks.append(mark)
        self.push()

    def tick(self) -> None:
        """Hand over the metrics of what takes long; not within the begin or end of a delivery."""
        if not self._held:
            self.release(measure=True)

    def push(self) -> bool:
        """Hand over what waits, as far as there is room; False where another thread is at it.

        Never blocks.
        """
        while self._lock.acquire(blocking=False):
            try:
                sent = self._send() and (not self._pack() or self._send())
            finally:
                self._lock.release()
            # Another thread may have found the lock taken, and left its item here.
            if not sent or not self._left():
                return True
        return False

    def drain(self, end: float) -> bool:
        """Hand over all that waits until `end` (`time.monotonic()`); tell whether all went."""
        self._held = False
        while True:
            mine = self.push()
            left = end - time.monotonic()
            if self._gone or self._socket.fileno() < 0:
                return False
            if mine and not self._left():  # What another thread packs is in neither place.
                return True
            if left <= 0:
                return False
            if not mine:
                time.sleep(min(left, _BRIEF))
                continue
            poll = select.poll()
            poll.register(self._socket, select.POLLOUT)
            poll.poll(min(left, _PAUSE) * 1_000)

    def abandon_spans(self) -> int:
        """Forget the spans that wait; return how many."""
        left = len(self._spans)
        self._spans.clear()
        return left

    def abandon_records(self) -> int:
        """Forget the log records that wait; return how many."""
        left = len(self._records)
        self._records.clear()
        return left

    def _unless_held(self) -> None:
        if not self._held or len(self._spans) + len(self._records) > _HELD:
            self.push()

    def _left(self) -> bool:
        return bool(self._waiting or self._marks or self._spans or self._records or self._greet)

    def _send(self) -> bool:
        """Send the message that is on its way; tell whether it is through."""
        while self._waiting:
            try:
                self._socket.send(self._waiting[0], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno not in _LATER:
                    self._relay_is_gone()
                return False
            # Only now: an interruption in between sends it twice, which the reader finds out.
            self._waiting.popleft()
        return not self._gone

    def _pack(self) -> bool:
        """Make a message of what waits; tell whether there was anything."""
        # The marks first: what they tell the end of was added before them.
        marks = _taken(self._marks)
        sections: list[Section] = [(Kind.MARK, mark) for mark in marks]
        if self._measure:
            self._measure = False
            with guard.absorb("handing over metrics"):
                metrics = self._collect()
                if metrics:
                    sections.append((Kind.METRICS, metrics))
                self._measure = metrics is None
        spans, records = _taken(self._spans), _taken(self._records)
        if spans or records or marks:
            sections.append(self._resource)
        with guard.absorb("handing over spans"):
            if spans:
                sections.append((Kind.SPANS, encode_spans(spans).SerializeToString()))
        with guard.absorb("handing over log records"):
            if records:
                sections.append((Kind.RECORDS, encode_logs(records).SerializeToString()))
        if not sections and not self._greet:
            return False
        self._greet = False
        self._sequence += 1
        self._waiting.extend(wire.datagrams(sections, pid=self._pid, sequence=self._sequence))
        return True

    def _relay_is_gone(self) -> None:
        self._gone = True
        self._refuse(len(self._spans) + len(self._records) + len(self._waiting))
        for waiting in (self._spans, self._records, self._marks, self._waiting):
            waiting.clear()
        self._tell_gone()

    def _refuse(self, count: int = 1) -> None:
        guard.drop(
            DropReason.NOT_DELIVERED, detail="the process that relays has ended", count=count
        )


def _taken(queue: deque[Item]) -> list[Item]:
    taken: list[Item] = []
    with suppress(IndexError):
        while True:
            taken.append(queue.popleft())
    return taken
