"""Drain the table: chain what was committed, export each event once, publish the heads.

One process at a time does it. It may die anywhere: what it had not marked as exported is
exported again, under the same `log.record.uid`, which makes it the same document.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import django.db
from django.db import connections
from django.db.models import Q
from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry import audit, setup
from etl_telemetry.audit import AuditEvent
from etl_telemetry.config import Config
from etl_telemetry.django.audit import chain, heads, store
from etl_telemetry.django.audit.models import AuditBlock, AuditChain, AuditRow
from etl_telemetry.logs.aloud import aloud

LEASE = 30
"""Seconds after which a drainer that says nothing more is taken for dead."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one pass over one database did."""

    database: str
    """Alias of the database."""
    chained: int = 0
    """Rows that were chained."""
    exported: int = 0
    """Rows that were delivered to the audit stream."""
    waiting: int = 0
    """Blocks that could not be delivered; the next pass tries again."""
    busy: bool = False
    """Whether another process drains this database."""
    error: str = ""
    """Why the database could not be drained; "" where it could."""


@dataclass(frozen=True, slots=True)
class Drainer:
    """What drains, under the name of this process."""

    flush: Callable[[], bool]
    """Deliver what was logged; tell whether all of it was."""
    heads_file: Path | None = None
    """Where heads are added; None: the log stream only."""
    batch: int = 200
    """Events between two deliveries: fewer than the queue of log records holds."""
    holder: str = ""
    """Name of this process; by default `name_of_process`."""

    def drain_all(self, *, until: float = math.inf) -> list[Drained]:
        """Drain every database that has the table; one that is away does not stop the others.

        When the monotonic clock reads `until`, what is left waits for the next time.
        """
        found = []
        for name in connections:
            try:
                if store.is_migrated(name):
                    found.append(self.drain(name, until=until))
            except django.db.Error as error:
                found.append(Drained(name, error=f"{type(error).__name__}: {error}".strip()))
        return found

    def drain(self, using: str, *, until: float = math.inf) -> Drained:
        """Chain all that is committed, then export all that is chained."""
        if not self._take(using):
            return Drained(using, busy=True)
        chained = exported = 0
        while (block := chain.extend(using)) is not None:
            chained += block.rows
            if block.rows < chain.BLOCK or time.monotonic() >= until or not self._take(using):
                break
        for block in AuditBlock.objects.using(using).filter(exported_us=None).order_by("number"):
            if not self._take(using) or not self._export(using, block):
                break
            exported += block.rows
            if time.monotonic() >= until:
                break
        waiting = AuditBlock.objects.using(using).filter(exported_us=None).count()
        return Drained(using, chained, exported, waiting)

    def release(self) -> None:
        """Let another process drain at once."""
        for using in connections:
            with suppress(django.db.Error):  # Then the lease ends by itself.
                if store.is_migrated(using):
                    mine = AuditChain.objects.using(using).filter(holder=self._name)
                    mine.update(holder="", held_until_us=0)

    @property
    def _name(self) -> str:
        return self.holder or name_of_process(os.getpid())

    def _take(self, using: str) -> bool:
        """Take or keep the lease. Safety is the lock of `chain.extend`; this saves double work."""
        now = time.time_ns() // 1_000
        states = AuditChain.objects.using(using).filter(pk=chain.STATE)
        free = states.filter(Q(holder=self._name) | Q(held_until_us__lt=now))
        taken = free.update(holder=self._name, held_until_us=now + LEASE * 1_000_000)
        return bool(taken) or not states.exists()

    def _export(self, using: str, block: AuditBlock) -> bool:
        rows = AuditRow.objects.using(using).filter(block=block.number).order_by("id")
        for count, row in enumerate(rows, start=1):
            with aloud():
                _publish(row)
            if count % self.batch == 0 and not self.flush():
                return False
        if self.heads_file is not None:
            heads.append(self.heads_file, using, block)
        with aloud():
            heads.log(using, block)
        if not self.flush():
            return False
        AuditBlock.objects.using(using).filter(pk=block.pk).update(
            exported_us=time.time_ns() // 1_000
        )
        return True


@cache
def name_of_process(pid: int) -> str:
    """Return a name that no other process has: containers have the same host name and ids."""
    return f"{socket.gethostname()[:20]}-{pid}-{uuid4().hex}"[:64]


def drainer_of_process() -> Drainer:
    """Return the drainer that the configuration of this process asks for."""
    telemetry = setup.active()
    config = Config() if telemetry is None else telemetry.config
    return Drainer(
        flush=_nothing_waits if telemetry is None else telemetry.force_flush,
        heads_file=None if config.audit_heads_file is None else Path(config.audit_heads_file),
        batch=max(1, config.log_queue_size // 4),
    )


def waiting(using: str) -> int:
    """Return how many committed events of a database have not been delivered."""
    undelivered = AuditBlock.objects.using(using).filter(exported_us=None).values("number")
    return AuditRow.objects.using(using).filter(Q(block=None) | Q(block__in=undelivered)).count()


def _nothing_waits() -> bool:
    return True


def _publish(row: AuditRow) -> None:
    event = AuditEvent(
        name=row.name,
        actor=row.actor,
        organization=row.organization or None,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        outcome=row.outcome,
        details=_details(row.details),
    )
    span = SpanContext(
        int(row.trace_id or "0", 16), int(row.span_id or "0", 16), is_remote=True,
        trace_flags=_SAMPLED,
    )  # fmt: skip
    audit.publish(event, uid=row.uid, at=row.occurred_us / 1e6, span=span, run_id=row.run_id)


def _details(text: str) -> dict[str, object]:
    """Return the details; a row that somebody broke is exported all the same, and says so."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": text}
