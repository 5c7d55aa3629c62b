"""Be told to stop: SIGTERM and SIGINT set an event, and never by the handler itself.

A handler runs in the main thread, between any two of its instructions. Where these are inside of
``Event.wait``, the main thread holds the event's lock: a handler that calls ``Event.set`` waits
for it for ever (https://docs.python.org/3/library/signal.html#signals-and-threads).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_to_stop(*, second_ends: bool = False) -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set; the handlers before come back afterwards.

    With ``second_ends`` they come back at the first signal: a second one does what it would have
    done without us. In the main thread only, as ``signal.signal``; elsewhere a ``ValueError``. A
    child that is forked within the block is not told: the thread that sets the event stays here.

    >>> with told_to_stop() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     stop.wait(60)
    True
    """
    stop = threading.Event()
    asked: SimpleQueue[None] = SimpleQueue()  # Its `put` may interrupt anything, itself included.
    before: dict[int, Any] = {}

    def follow() -> None:
        asked.get()
        stop.set()

    def restore() -> None:
        for number, handler in before.items():
            # None: it was not set by Python, which cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def tell(*_: object) -> None:
        asked.put(None)
        if second_ends:
            restore()

    threading.Thread(target=follow, name="etl-telemetry-stop", daemon=True).start()
    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, tell)
        yield stop
    finally:
        asked.put(None)  # The thread ends, whether there was a signal or not.
        restore()
