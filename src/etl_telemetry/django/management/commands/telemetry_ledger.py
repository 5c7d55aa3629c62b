"""`manage.py telemetry_ledger`: the long-lived process that counts and reports ended runs."""

from __future__ import annotations

import math
import time
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from etl_telemetry import guard, setup
from etl_telemetry.django import mapping
from etl_telemetry.django.ledger import Drainer, end_overdue
from etl_telemetry.django.ledger.drain import LEASE, drainer_of
from etl_telemetry.observer import LAST_ROUND
from etl_telemetry.stopping import told_to_stop


class Command(BaseCommand):
    """Drain the ledger until stopped."""

    help = "Count and report each ended run once, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how often to look, and whether to stop."""
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between rounds")
        parser.add_argument(
            "--lease", type=float, default=LEASE,
            help="seconds until another process may take over; at least three rounds",
        )  # fmt: skip
        parser.add_argument("--once", action="store_true", help="one round, then stop")

    def handle(self, *, interval: float, lease: float, once: bool, **_: Any) -> None:
        """Go round until SIGTERM or Ctrl-C."""
        # Whoever asks a second time does not want to wait for the last round.
        with told_to_stop(second_ends=True) as stop:
            telemetry = setup.setup_telemetry()
            if not telemetry.active:
                raise CommandError("Telemetry is switched off: what ended stays in the outbox.")
            mapping.current()
            drainer = drainer_of(telemetry, lease=max(lease, 3 * interval))
            if once:
                self.stdout.write(self._said(self._round(drainer)))
            else:
                self._serve(drainer, stop, interval)
            drainer.close()

    def _serve(self, drainer: Drainer, stop: Event, interval: float) -> None:
        last = False
        while not last:
            last = stop.is_set()  # One round more: what the others ended at their end.
            # A database that is away comes back; nothing is lost meanwhile.
            until = time.monotonic() + LAST_ROUND if last else math.inf
            with guard.absorb("draining the ledger"):
                self._round(drainer, until)
            close_old_connections()
            stop.wait(interval)

    def _round(self, drainer: Drainer, until: float = math.inf) -> int | None:
        end_overdue()
        return drainer.drain(until=until)

    def _said(self, counted: int | None) -> str:
        if counted is None:
            return "another process drains the ledger"
        return f"counted {counted} runs"
