"""`manage.py report_runs`: the long-lived process that reports ended runs."""

from __future__ import annotations

import fcntl
import signal
import time
from pathlib import Path
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from apps.pipelines import observer, reporter
from etl_telemetry import setup_telemetry

OBSERVE_EVERY = 5.0
"""Seconds between two readings of the shared state."""
FLUSH_DEADLINE = 5.0
"""Seconds that an export may take before the rows are left for the next round."""


class Command(BaseCommand):
    """Poll the outbox and report each ended run exactly once (see `reporter.py`)."""

    help = "Report ended runs from the ledger, exactly once each, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how often to look, and whether to stop."""
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between polls")
        parser.add_argument("--once", action="store_true", help="report what is there and stop")

    def handle(self, *, interval: float, once: bool, **options: Any) -> None:
        """Replay the ledger, then report until SIGTERM or Ctrl-C."""
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        # The fixed identity is in the settings: `setup_telemetry()` was called at start-up,
        # calling it again only hands out the same handle.
        telemetry = setup_telemetry()
        path = Path(reporter.lock_path())
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(
                    f"Another report_runs is running (it holds {path}). Two of them would "
                    "write the same series. Stop the other one first."
                ) from error
            current = reporter.Reporter(flush=lambda: telemetry.force_flush(FLUSH_DEADLINE))
            self.stdout.write(f"replayed {current.replay()} runs, reporting", ending="\n")
            self.stdout.flush()
            if once:
                current.report()
            else:
                self._poll(current, stop, interval)

    def _poll(self, current: reporter.Reporter, stop: Event, interval: float) -> None:
        observed = 0.0
        while not stop.is_set():
            close_old_connections()
            if time.monotonic() - observed >= OBSERVE_EVERY:
                observer.observe()
                observed = time.monotonic()
            current.report()
            stop.wait(interval)
        current.report()
