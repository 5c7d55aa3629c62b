"""Keep an audit event as a row, in the transaction that is open."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import zip_longest
from time import monotonic, time_ns

import django.db
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, router, transaction
from opentelemetry import trace

from etl_telemetry import audit, values
from etl_telemetry.audit import AuditEvent
from etl_telemetry.catalogue import AUDIT_DATABASE, AUDIT_EVENT, ERROR_TYPE, PIPELINE_RUN_ID
from etl_telemetry.django.audit import sealing
from etl_telemetry.django.audit.models import AuditRow
from etl_telemetry.errors import AuditError
from etl_telemetry.logs import current_fields

PATIENCE = 300
"""Seconds that an event may wait for a drainer, and between two looks of a process."""
_BATCH = 200
_ASK_AGAIN = 5.0
_log = logging.getLogger("etl_telemetry.django")


class DatabaseStore:
    """The store of a process that uses Django (`audit.Store`)."""

    def has_place(self) -> bool:
        """Tell whether the table is there."""
        try:
            return is_migrated(alias())
        except (django.db.Error, SynchronousOnlyOperation):
            return False

    def keep(self, event: AuditEvent) -> bool:
        """Insert the event; False where the table is not migrated yet."""
        return keep((event,), using=alias())


def alias() -> str:
    """Return the database for an event that is not about one row.

    It is the one that the routers choose. Where no transaction is open there, and one is
    open in another database that has the table, it is that one: the event belongs to it.
    """
    chosen = router.db_for_write(AuditRow)
    if not connections[chosen].in_atomic_block:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block and is_migrated(connection.alias):
                return connection.alias
    return chosen


def _here(_: int) -> AbstractContextManager[object]:
    return nullcontext()


def keep(
    events: Sequence[AuditEvent],
    *,
    using: str,
    uids: Sequence[str] = (),
    at: Callable[[int], AbstractContextManager[object]] = _here,
) -> bool:
    """Insert events; False where the table is not migrated there; raise `AuditError`.

    `uids` are ids for them; without any they get new ones. `at` makes the trace and run of one
    of them current, where they are not those of here.

    In a savepoint: what fails here does not break the application's transaction.
    """
    try:
        if not is_migrated(using):
            return False
        rows = []
        for number, (event, uid) in enumerate(zip_longest(events, uids[: len(events)])):
            with at(number):
                rows.append(_row(event, uid))
        with transaction.atomic(using=using):
            if len(rows) == 1:
                rows[0].save(using=using, force_insert=True)
            else:
                AuditRow.objects.using(using).bulk_create(rows, batch_size=_BATCH)
        for number, (event, row) in enumerate(zip(events, rows, strict=True)):
            with at(number):
                _show(event, row)
        _look_at_drainer(using)
    except django.db.Error as error:
        raise AuditError(
            f"the audit event {events[0].name!r} could not be written to the database {using!r}: "
            f"{type(error).__name__}. Nothing that must be audited may go on without it"
        ) from error
    except SynchronousOnlyOperation as error:
        raise AuditError(
            f"the audit event {events[0].name!r} was recorded in a coroutine, where Django allows "
            "no query: await asgiref.sync.sync_to_async(audit.record)(...) instead"
        ) from error
    return True


def keep_automatic(events: Sequence[AuditEvent], *, using: str, uids: Sequence[str] = ()) -> None:
    """Keep events that nobody asked for by hand; `uids` as in `keep`.

    During a deployment new code meets a database without the table: then they are logged
    as events of a process without Django are, and what is audited goes on.
    """
    if not events or keep(events, using=using, uids=uids):
        return
    for event in events:
        if audit.has_log_place():
            audit.publish(
                event,
                uid=new_uid(),
                at=time_ns() / 1e9,
                span=trace.get_current_span().get_span_context(),
            )
        else:
            _log.error(
                "audit_event_not_kept", extra={AUDIT_EVENT: event.name, ERROR_TYPE: "not_migrated"}
            )


def is_migrated(using: str) -> bool:
    """Tell whether a database has the audit table; asked now and then until it has."""
    connection = connections[using]
    place = (using, str(connection.settings_dict.get("NAME")))
    if place in _known:
        return True
    if monotonic() < _missing.get(place, 0.0):
        return False
    # A replica has the table too: the routers know that nothing is written there.
    own = router.allow_migrate_model(using, AuditRow)
    if own and AuditRow._meta.db_table in connection.introspection.table_names():
        _known.add(place)
        return True
    _missing[place] = monotonic() + _ASK_AGAIN
    return False


def forget_tables() -> None:
    """Ask again which databases have the table."""
    _known.clear()
    _missing.clear()


_known: set[tuple[str, str]] = set()
_missing: dict[tuple[str, str], float] = {}


def new_uid() -> str:
    """Return an id for an event: the time first, since ids in order are cheap to index."""
    return f"{time_ns():016x}{os.urandom(8).hex()}"


def _row(event: AuditEvent, uid: str | None) -> AuditRow:
    span = trace.get_current_span().get_span_context()
    row = AuditRow(
        uid=uid or new_uid(),
        occurred_us=time_ns() // 1_000,
        name=event.name,
        actor=_storable(event.actor),
        organization=_storable(event.organization or ""),
        resource_type=_storable(event.resource_type),
        resource_id=_storable(event.resource_id),
        outcome=event.outcome,
        details=json.dumps(
            event.details, default=values.text, sort_keys=True, separators=(",", ":")
        ),
        trace_id=f"{span.trace_id:032x}" if span.is_valid else "",
        span_id=f"{span.span_id:016x}" if span.is_valid else "",
        run_id=_storable(str(current_fields().get(PIPELINE_RUN_ID, ""))),
    )
    sealing.seal(row)
    return row


def _show(event: AuditEvent, row: AuditRow) -> None:
    span = trace.get_current_span().get_span_context()
    audit.show(event, uid=row.uid, at=row.occurred_us / 1e6, span=span, run_id=row.run_id)


class _Watchman:
    """When this process looks at the drainer next."""

    __slots__ = ("next_look",)

    def __init__(self) -> None:
        self.next_look = monotonic() + PATIENCE


_watchman = _Watchman()


def _look_at_drainer(using: str) -> None:
    """Say it where nobody drains: events that stay in the table are seen by nobody.

    Not in the first minutes of a process: a script or a test has no drainer.
    """
    if monotonic() < _watchman.next_look:
        return
    _watchman.next_look = monotonic() + PATIENCE
    old = time_ns() // 1_000 - PATIENCE * 1_000_000
    if AuditRow.objects.using(using).filter(block=None, occurred_us__lt=old).exists():
        _log.error("audit_not_drained", extra={AUDIT_DATABASE: using})


def _storable(text: str) -> str:
    """Return text that PostgreSQL takes: it has no NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
