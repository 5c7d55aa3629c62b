"""Drain the outbox: count each run once, and export what was counted.

Killed at any point, the next process goes on from the tables:

- before a run is counted: it is still in the outbox;
- counted, not exported: the totals have it, and its span is sent;
- exported, not marked: its span is sent again with the same ids, which is the same span.

What is exported is what the totals say, never what this process has added up, so counters
and histograms go on over restarts and cannot differ from the table.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, transaction

from etl_telemetry import audit, metrics, setup
from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.django import mapping
from etl_telemetry.django.ledger import saved
from etl_telemetry.django.ledger.count import (
    BATCH,
    Counted,
    Holder,
    announce,
    count,
    hold,
    release,
    snapshot,
)
from etl_telemetry.django.ledger.entries import end, now_us
from etl_telemetry.django.ledger.models import Ledger, RunEnd
from etl_telemetry.django.ledger.tables import ready
from etl_telemetry.logs.aloud import aloud
from etl_telemetry.pipelines import inputs, report

_log = logging.getLogger("etl_telemetry.django")
_HOUR_US = 3_600_000_000
LEASE = 15.0
"""Seconds after which another process may take over from one that does not answer."""
FLUSH_DEADLINE = 5.0
"""Seconds that an export may take before the runs are left for the next round."""
LOOK_EVERY = 60.0
"""Seconds between two searches for runs that ended without a word."""
MEMORY_US = 30 * 24 * _HOUR_US
"""How long a run that was reported is remembered: until then it is not counted again."""
UNDATED = 500
"""Old runs without an end in their table that are looked for there in one search."""


class Drainer:
    """Drain the ledgers of all databases that have runs. Only one process may, and only one does.

    What it exports leaves under `instance_id`: its series are those of the process before it.
    """

    def __init__(
        self, *, flush: Callable[[], bool], lease: float = LEASE, instance_id: str | None = None
    ) -> None:
        self._flush = flush
        self._instance_id = instance_id
        self._late: set[str] = set()
        """Databases whose runs could not be delivered the last time."""
        self._holder = Holder(
            f"{socket.gethostname()[:20]}-{os.getpid()}-{uuid4().hex}"[:64], lease
        )
        self._totals: dict[str, list[metrics.RunTotal]] = {}
        self._told: set[tuple[str, int]] = set()
        self._looked: dict[str, float] = {}
        self._began: dict[str, int] = {}
        self._undated: dict[str, int] = {}
        """The last old run without an end that was looked for, by database."""

    def drain(self, *, until: float = math.inf) -> int | None:
        """Count and report everything; return how many runs, None where another process does it.

        What could not be delivered is tried again the next time. An error of a database is the
        caller's, after the other databases had their turn: nothing is lost by it. When the
        monotonic clock reads `until`, what is left waits for the next time.
        """
        found: list[int | None] = []
        failed: list[DatabaseError | InterfaceError] = []
        for alias in mapping.current().databases:
            try:
                # Who ended a run is in its row: not who started the command that counts it.
                with audit.acting(UNKNOWN):
                    found += [self._one(alias, until)] if ready(alias) else []
            except (DatabaseError, InterfaceError) as error:
                failed.append(error)
        if failed:
            raise failed[0]
        numbers = [number for number in found if number is not None]
        return None if found and not numbers else sum(numbers)

    def close(self) -> None:
        """Let another process take over at once, and export nothing of it any more."""
        metrics.publish_run_totals([], since=0, lifetime=0)
        for alias in self._totals:
            with suppress(DatabaseError, InterfaceError):  # Then the lease ends by itself.
                release(alias, self._holder)
        self._totals.clear()

    def _one(self, alias: str, until: float) -> int | None:
        """Drain one database."""
        begin = time.monotonic()
        done = self._count(alias, until)
        if done is None:
            if self._totals.pop(alias, None) is not None:
                self._publish(lifetime=0)
            return None
        ledger = Ledger.objects.using(alias).get(pk=Ledger.ONLY)
        self._began[alias] = ledger.began_us
        if self._is_time_to_look(alias):
            self._look(alias, ledger)
            found = self._count(alias, until)
            done = replace(done, number=done.number + (found.number if found else 0))
        # From before the lease was taken: what is exported ends before somebody else may begin.
        lifetime = self._holder.lease - (time.monotonic() - begin)
        self._go_on(alias, lifetime, is_new=bool(done.number) or done.taken_over)
        self._report(alias, until)
        return done.number

    def _go_on(self, alias: str, lifetime: float, *, is_new: bool) -> None:
        """Export for some seconds more what this process knows, or what the table says anew."""
        if is_new or alias not in self._totals:
            self._totals[alias] = snapshot(alias)
            self._publish(lifetime=lifetime)
        else:
            metrics.prolong_run_totals(lifetime)

    def _keep(self, alias: str) -> bool:
        """Prolong the lease; tell whether nobody else had it since the last time."""
        begin = time.monotonic()
        with transaction.atomic(using=alias):
            held = hold(alias, self._holder)
        if held is None:
            return False
        _, taken_over = held
        self._go_on(alias, self._holder.lease - (time.monotonic() - begin), is_new=taken_over)
        return not taken_over

    def _count(self, alias: str, until: float) -> Counted | None:
        """Count all that is in the outbox, a batch in each transaction."""
        total, taken_over = 0, False
        while (batch := count(alias, self._holder)) is not None:
            total += batch.number
            taken_over = taken_over or batch.taken_over
            if batch.number < BATCH or time.monotonic() >= until:
                return Counted(total, taken_over)
        return None

    def _is_time_to_look(self, alias: str) -> bool:
        looked = self._looked.get(alias)
        return looked is None or time.monotonic() - looked >= LOOK_EVERY

    def _look(self, alias: str, ledger: Ledger) -> None:
        """Find what nobody told: everything at first, then what ended in the last hour."""
        first = alias not in self._looked
        since = ledger.counted_from_us
        saved.find(alias, since_us=since if first else max(since, now_us() - _HOUR_US))
        self._forget(alias, ledger)
        self._looked[alias] = time.monotonic()

    def _publish(self, *, lifetime: float) -> None:
        metrics.publish_run_totals(
            [total for totals in self._totals.values() for total in totals],
            since=min(self._began.values()) / 1e6,
            lifetime=lifetime,
            instance_id=self._instance_id,
        )

    def _report(self, alias: str, until: float) -> None:
        """Export what was counted, until all of it is delivered or something is not.

        After an outage that takes many batches. The lease goes on with each: another process
        that took over would tell the same runs at the same time.
        """
        outbox = RunEnd.objects.using(alias)
        while entries := list(outbox.filter(stage=RunEnd.COUNTED).order_by("id")[:BATCH]):
            if not self._keep(alias):
                return  # The next time: some of these may have been told meanwhile.
            for entry in entries:
                self._tell(alias, entry)
            if not self._flush():
                self._say_late(alias, len(entries))
                return
            self._late.discard(alias)
            keys = [entry.pk for entry in entries]
            outbox.filter(pk__in=keys).update(stage=RunEnd.REPORTED)
            self._told.difference_update((alias, key) for key in keys)
            self._announced(alias)
            if time.monotonic() >= until:
                return

    def _say_late(self, alias: str, runs: int) -> None:
        """Say once in each outage that the ledger could not be delivered."""
        if alias not in self._late:
            self._late.add(alias)
            with aloud():
                _log.warning("ledger_not_delivered", extra={"database": alias, "runs": runs})

    def _tell(self, alias: str, entry: RunEnd) -> None:
        """Report a run; one that this process has told before sends its span only."""
        how = end(entry)
        if how is None:
            return
        with aloud():  # The observer's own questions are silent, what it drains is not.
            if (alias, entry.pk) in self._told:
                report.emit(how)
                return
            # The next process tells it again where this one dies: as the same record.
            record_id = f"{how.run.trace_id}-finished"
            report.finished(how, is_audited=entry.is_audited, record_id=record_id)
        self._told.add((alias, entry.pk))

    def _announced(self, alias: str) -> None:
        totals: Sequence[metrics.RunTotal] = self._totals[alias]
        if any(not total.announced for total in totals):
            announce(alias, totals)
            self._totals[alias] = [replace(total, announced=True) for total in totals]

    def _forget(self, alias: str, ledger: Ledger) -> None:
        """Delete what was reported long ago, and count nothing from then any more."""
        horizon = now_us() - MEMORY_US
        if horizon <= ledger.counted_from_us:
            return
        old = RunEnd.objects.using(alias).filter(stage=RunEnd.REPORTED, finished_us__lt=horizon)
        Ledger.objects.using(alias).filter(pk=Ledger.ONLY).update(counted_from_us=horizon)
        old.filter(is_dated=True).delete()
        # Saved again, a run without an end in its table would end now, unless it is not there.
        undated = old.filter(is_dated=False, pk__gt=self._undated.get(alias, 0))
        entries = dict(undated.order_by("pk").values_list("pk", "run_id")[:UNDATED])
        there = _in_table(alias, entries.values())
        gone = [pk for pk, run_id in entries.items() if run_id not in there]
        old.filter(pk__in=gone).delete()
        self._undated[alias] = max(entries) if len(entries) == UNDATED else 0


def drainer_of(telemetry: setup.Telemetry, *, lease: float = LEASE) -> Drainer:
    """Return a drainer that exports as this process does."""
    return Drainer(
        flush=lambda: telemetry.active and telemetry.force_flush(FLUSH_DEADLINE),
        lease=lease,
        instance_id=telemetry.config.ledger_instance_id,
    )


def _in_table(alias: str, run_ids: Iterable[str]) -> set[str]:
    """Return the runs that are in the host's table, or may be: a long id is kept as a digest."""
    model = mapping.current().run.model
    keys, there = [], set()
    for run_id in run_ids:
        try:
            key = model._meta.pk.to_python(run_id)
        except ValidationError:
            key = None
        if inputs.given_run_id(key) == run_id and len(run_id) < inputs.MAX_ID:
            keys.append(key)
        else:
            there.add(run_id)
    found = model._base_manager.using(alias).filter(pk__in=keys).values_list("pk", flat=True)
    return there | {inputs.given_run_id(key) or "" for key in found}
