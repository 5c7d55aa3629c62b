"""`manage.py audit_drain`: chain the audit events, export them, publish the heads."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import ExitStack
from threading import Event
from typing import Any

import django.db
from django.core.management.base import BaseCommand, CommandError

from etl_telemetry.django.audit.drain import Drained, Drainer, drainer_of_process
from etl_telemetry.errors import AuditError
from etl_telemetry.stopping import told_to_stop


class Command(BaseCommand):
    """Drain until it is told to end; several may run, one of them works."""

    help = "Chain audit events, export them once, and publish the heads of the chain."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say which options there are."""
        parser.add_argument("--once", action="store_true", help="drain what is there, then end")
        parser.add_argument(
            "--interval", type=float, default=1.0, help="seconds between two looks (default: 1)"
        )

    def handle(self, *args: Any, once: bool, interval: float, **options: Any) -> None:
        """Drain."""
        drainer = drainer_of_process()
        with ExitStack() as at_end:
            stop = None if once else at_end.enter_context(told_to_stop())
            at_end.callback(drainer.release)  # First: a second signal does not come in between.
            if stop is None:
                self._once(drainer)
            else:
                self._serve(drainer, stop, interval)

    def _once(self, drainer: Drainer) -> None:
        try:
            found = drainer.drain_all()
        except AuditError as error:
            raise CommandError(str(error)) from error
        for one in found:
            self.stdout.write(_sentence(one))
        if not found:
            raise CommandError("no database has the audit table: run manage.py migrate")
        if any(one.waiting or one.busy or one.error for one in found):
            raise CommandError("not everything was delivered")

    def _serve(self, drainer: Drainer, stop: Event, interval: float) -> None:
        while not stop.is_set():
            self._pass(drainer)
            stop.wait(interval)
        self._pass(drainer)  # What the others wrote at their end.

    def _pass(self, drainer: Drainer) -> None:
        try:
            for one in drainer.drain_all():
                if one.error:
                    self.stderr.write(_sentence(one))
        except AuditError as error:
            self.stderr.write(str(error))
        django.db.close_old_connections()


def _sentence(one: Drained) -> str:
    if one.error:
        return f"{one.database}: {one.error}"
    if one.busy:
        return f"{one.database}: another process drains it"
    return (
        f"{one.database}: {one.chained} events chained, {one.exported} exported, "
        f"{one.waiting} blocks wait"
    )
