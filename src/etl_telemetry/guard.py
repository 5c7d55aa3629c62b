"""The one guard: no telemetry error reaches the application.

What goes wrong is counted by reason and logged once per place. The counts leave
the process as the metric ``telemetry.drops``.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from etl_telemetry.catalogue import DropReason

# The log bridge is called by the logging package, which is not the caller either.
_NOT_THEIRS = (str(Path(__file__).parent), str(Path(logging.__file__).parent))
_MAX_PLACES = 1_000
_log = logging.getLogger("etl_telemetry")
T = TypeVar("T")


class _Ledger:
    """Hold the counts of this process and the places that were already logged."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        # Re-entrant: the logging call below may itself drop something.
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.places: set[tuple[str, str]] = set()
        self.pid = os.getpid()

    def add(self, reason: str, count: int, place: str) -> bool:
        """Count, and tell whether this place is new (bounded: then never again)."""
        key = (reason, place)
        self.belong_here()
        with self.lock:
            self.counts[reason] += count
            if key in self.places or len(self.places) >= _MAX_PLACES:
                return False
            self.places.add(key)
            return True

    def belong_here(self) -> None:
        """Begin anew in a forked child: a thread of the parent may have held the lock.

        No at-fork hook: there is none before `setup_telemetry()`, and uWSGI runs none (trap 12).
        """
        if self.pid != os.getpid():
            self.clear()


_ledger = _Ledger()
_passing: tuple[type[Exception], ...] = ()


def let_pass(*errors: type[Exception]) -> None:
    """Name errors that are never ours to swallow.

    A signal handler raises them into whatever code runs at that moment, ours
    included: Celery's soft time limit is one.

    >>> let_pass()
    """
    global _passing
    _passing = tuple({*_passing, *errors})


class absorb:  # noqa: N801 - it reads as a verb where it is used, like contextlib.suppress
    """Swallow any error inside the block; count it by reason and log it once.

    ``where`` names the part of the library, for the log line. Errors of the
    application must be raised outside of the block: it swallows everything that
    is an ``Exception``.

    >>> with absorb("docs example"):
    ...     raise ValueError("never seen by the application")
    """

    # A class, not a generator: it stands twice around every span, and costs a quarter.
    __slots__ = ("_reason", "_where")

    def __init__(self, where: str, *, reason: str = DropReason.INTERNAL_ERROR) -> None:
        self._where = where
        self._reason = reason

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, _passing):
            return False
        _failed(self._where, self._reason, error)
        return True


def _failed(where: str, reason: str, error: Exception) -> None:
    place = f"{where}: {type(error).__name__}"
    if _ledger.add(str(reason), 1, place):
        fields = {"where": where, "error_type": type(error).__name__}
        _warn("telemetry_internal_error", fields, error)


def _warn(event: str, fields: dict[str, str], error: Exception | None = None) -> None:
    try:
        _log.warning(event, extra=fields, exc_info=error)
    except _passing:
        raise
    except Exception:  # noqa: S110 - said nowhere, since saying is what failed; it is counted
        pass  # A filter of the host's: logging guards its handlers, not their filters.


def attempt(read: Callable[[], T], otherwise: T) -> T:
    """Return ``read()``, or ``otherwise`` where it raises; neither count nor log it.

    For the application's own code (``__str__``, ``__iter__``) inside a formatter. That runs
    under its handler's lock, and a log call from there takes the locks of other handlers:
    two that do so to one another are a deadlock.

    >>> attempt(lambda: 1 / 0, None)
    """
    try:
        return read()
    except _passing:
        raise
    except Exception:
        return otherwise


def outcome(read: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return what ``read()`` returns, or the error that it raises; neither count nor log it.

    For who has something better to do with the error, such as to say it once until it is over.

    >>> outcome(lambda: 1 / 0)
    (None, ZeroDivisionError('division by zero'))
    """
    try:
        return read(), None
    except _passing:
        raise
    except Exception as error:
        return None, error


def drop(reason: str, *, detail: str, count: int = 1) -> None:
    """Count something that was dropped, truncated or coerced; log it once per caller's line.

    ``detail`` says what, in words that contain no value of the user's data.

    >>> before = drops().get("invalid_value", 0)
    >>> drop(DropReason.INVALID_VALUE, detail="rows must be a whole number >= 0")
    >>> drops()["invalid_value"] - before
    1
    """
    place = _application_line()
    if _ledger.add(str(reason), count, place):
        _warn("telemetry_dropped", {"reason": str(reason), "detail": detail, "caller": place})


def drops() -> dict[str, int]:
    """Return the totals by reason since this process began."""
    _ledger.belong_here()
    with _ledger.lock:
        return dict(_ledger.counts)


def reset_after_fork() -> None:
    """Begin at zero in a forked child: what the parent dropped is the parent's to report."""
    _ledger.clear()


def _application_line() -> str:
    """Name the nearest line of the call stack that is not ours: ``file:line``."""
    frame = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads source files: too slow here
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THEIRS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
