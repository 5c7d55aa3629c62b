"""The observer's source that drains the ledger."""

from __future__ import annotations

import time

from etl_telemetry import setup
from etl_telemetry.django.ledger.drain import Drainer, drainer_of
from etl_telemetry.observer import LAST_ROUND

INTERVAL = 1.0
"""Seconds between two rounds: who ends a run wants to see it counted."""
TIMEOUT = 60.0
"""Seconds that a round may take: the first one looks for all that ended without a word."""


class LedgerSource:
    """Drain the ledger in each reading, and keep it in between: its series must not pause."""

    def __init__(self) -> None:
        self._drainer: Drainer | None = None

    def read(self) -> tuple[()]:
        """Count and report what ended; there is nothing more to tell."""
        if self._drainer is None:
            self._drainer = drainer_of(setup.setup_telemetry())
        self._drainer.drain(until=time.monotonic() + TIMEOUT / 2)
        return ()

    def close(self) -> None:
        """Look once more, for what the others ended at their end, then let the next one drain."""
        if self._drainer is None:
            return
        try:
            self._drainer.drain(until=time.monotonic() + LAST_ROUND)
        finally:
            self._drainer.close()
