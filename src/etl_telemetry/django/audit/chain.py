"""Chain what was committed: one block for all rows that no block has yet.

After the commits, never inside of them: a transaction that waits for the digest of the one
before makes all writers wait for each other. A block costs the database one update for all
of its rows.
"""

from __future__ import annotations

import logging
from time import time_ns

from django.db import transaction

from etl_telemetry.catalogue import AUDIT_DATABASE, AUDIT_ROW_ID
from etl_telemetry.django.audit.models import AuditBlock, AuditChain, AuditRow
from etl_telemetry.django.audit.sealing import GENESIS, Content, block_digest, is_genuine
from etl_telemetry.logs.aloud import aloud

BLOCK = 500
"""Rows of one block at most."""
STATE = 1
"""Id of the only row of `AuditChain`."""

_log = logging.getLogger("etl_telemetry.django")


def extend(using: str) -> AuditBlock | None:
    """Chain the oldest rows that are not chained yet, at most `BLOCK`; None where there are none.

    Whoever else does the same at the same time waits: for each row there is one block.
    """
    if not AuditRow.objects.using(using).filter(block=None).exists():
        return None
    forged: list[AuditRow] = []
    with transaction.atomic(using=using):
        state = _locked(using)
        rows = list(AuditRow.objects.using(using).filter(block=None).order_by("id")[:BLOCK])
        if not rows:
            return None
        forged = [row for row in rows if not is_genuine(row)]
        block = AuditBlock(
            number=state.number + 1,
            previous=state.digest,
            content=Content(rows).digest(),
            rows=len(rows),
            forged=len(forged),
            newest_us=max(row.occurred_us for row in rows),
            chained_us=time_ns() // 1_000,
        )
        block.digest = block_digest(block)
        block.save(using=using, force_insert=True)
        AuditRow.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(
            block=block.number
        )
        AuditChain.objects.using(using).filter(pk=STATE).update(
            number=block.number, digest=block.digest
        )
    for row in forged:
        with aloud():
            _log.error("audit_row_forged", extra={AUDIT_DATABASE: using, AUDIT_ROW_ID: row.pk})
    return block


def _locked(using: str) -> AuditChain:
    """Return where the chain stands, locked until the end of the transaction.

    By an update that changes nothing: it takes the lock on every database, SQLite included.
    """
    states = AuditChain.objects.using(using)
    if not states.filter(pk=STATE).update(id=STATE):
        states.bulk_create([AuditChain(id=STATE, number=0, digest=GENESIS)], ignore_conflicts=True)
        states.filter(pk=STATE).update(id=STATE)
    return states.get(pk=STATE)
