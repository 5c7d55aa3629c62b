"""Delete old events so that the rest can still be verified.

Whole blocks go, from the first one on. An audit event says up to which, and with which
digest the rest begins. It is sealed and chained like all others: who deletes rows by hand
cannot write it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction

from etl_telemetry import audit
from etl_telemetry.django.audit import store
from etl_telemetry.django.audit.models import AuditBlock, AuditRow
from etl_telemetry.django.audit.sealing import is_genuine
from etl_telemetry.errors import AuditError

_PRUNED = "audit_pruned"
_KIND = "audit"


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the chain begins after something was deleted."""

    through: int
    """Number of the last block that was deleted."""
    digest: str
    """Its digest, which the next block names."""


def prune(using: str, *, before_us: int) -> int:
    """Delete the blocks whose newest event is older; return how many rows went.

    What was not exported yet stays, and all after it. `before_us`: Unix microseconds.
    """
    with transaction.atomic(using=using):
        blocks = AuditBlock.objects.using(using)
        stays = blocks.exclude(exported_us__isnull=False, newest_us__lt=before_us)
        first_to_stay = stays.order_by("number").values_list("number", flat=True).first()
        old = blocks.filter(number__lt=first_to_stay) if first_to_stay else blocks.all()
        last = old.order_by("-number").first()
        if last is None:
            return 0
        rows = AuditRow.objects.using(using).filter(block__lte=last.number)
        event = audit.made(
            _PRUNED,
            resource={"type": _KIND, "id": using},
            details={"through": last.number, "digest": last.digest, "rows": rows.count()},
        )
        if not store.keep((event,), using=using):
            raise AuditError(f"the database {using!r} has no audit table")
        # Without Django's collector: nothing refers to them, and there may be millions.
        gone = rows._raw_delete(using)  # noqa: SLF001 - what Django's own fast deletes use
        old._raw_delete(using)  # noqa: SLF001 - as above
    return int(gone)


def anchors(using: str) -> Iterator[Anchor]:
    """Yield where the retention command says that the rest begins, in genuine events only."""
    for row in AuditRow.objects.using(using).filter(name=_PRUNED, resource_type=_KIND):
        if is_genuine(row):  # Not one of a key that nobody knows: whoever deletes could write it.
            told = json.loads(row.details)
            yield Anchor(int(told.get("through", 0)), str(told.get("digest", "")))
