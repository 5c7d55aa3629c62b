"""How many deliveries one process takes in a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MINUTE = 60.0
_ROUNDING = 1e-6


class Rate:
    """A bucket of `per_minute` permits that refills evenly.

    >>> rate = Rate(1, clock=lambda: 0.0)
    >>> rate.wait(), rate.wait()
    (0.0, 60.0)
    """

    __slots__ = ("_clock", "_every", "_full_at", "_lock")

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = _MINUTE / per_minute
        self._clock = clock
        self._full_at = clock()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Take a permit and return 0; without one, return the seconds until there is one."""
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at, now) + self._every
            if full_at - now > _MINUTE + _ROUNDING:
                return full_at - now - _MINUTE
            self._full_at = full_at
            return 0.0
