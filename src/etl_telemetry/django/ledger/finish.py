"""End a run: the change of its state and its entry in the outbox, in one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import router, transaction
from django.db.models import Model
from django.utils import timezone

from etl_telemetry.catalogue import RunStatus
from etl_telemetry.django import mapping
from etl_telemetry.django.figures.windows import moment
from etl_telemetry.django.ledger.entries import entries, error_text, insert
from etl_telemetry.django.ledger.tables import ready
from etl_telemetry.errors import LedgerError


def finish_run(
    run: Model | object,
    status: RunStatus | str,
    *,
    error: BaseException | str | None = None,
    finished_at: datetime | None = None,
    using: str | None = None,
) -> bool:
    """End a run of the host's run table; True if this call did, False if it had ended before.

    The row's status and time change, and an entry is written into the outbox, in one
    transaction: the surrounding one, where there is one. Whatever rolls back was not counted,
    and what commits is counted once, by the process that drains the ledger. The first finisher
    wins, over all processes. Two queries more than the UPDATE.

    Args:
        run: The run, or its primary key. An instance is brought up to date.
        status: A `RunStatus`, or the host's own value for one.
        error: What ended it; its text is redacted before it is kept.
        finished_at: True end; by default now.
        using: Alias of the database; by default that of the instance, or of the router.

    Raises:
        LedgerError: The status is no end of a run, or the database is not a mapped one.
        ConfigurationError: The host's models are not mapped.
        DatabaseError: The database refuses; then nothing has changed.
    """
    models = mapping.current()
    ending = models.statuses.ending(status)
    if ending is None:
        allowed = [*RunStatus, *models.statuses.of(*RunStatus)]
        raise LedgerError(
            f"the status of a run that ended must be one of "
            f"{', '.join(dict.fromkeys(map(str, allowed)))}, got {status!r} (from finish_run)"
        )
    facts = models.run
    alias = using or _database(run, facts.model)
    changes: dict[str, object] = {
        facts["status"]: ending[1],
        facts["finished_at"]: timezone.now() if finished_at is None else moment(finished_at),
    }
    broken = facts.get("error")
    if broken is not None and error:
        changes[broken] = error_text(error)
    pk = run.pk if isinstance(run, Model) else run
    row = facts.model._base_manager.using(alias).filter(  # noqa: SLF001 - the host's may hide rows
        pk=pk, **{f"{facts['status']}__in": models.statuses.active}
    )
    if alias not in models.databases:
        raise LedgerError(
            f"runs must be in one of the databases {', '.join(models.databases)}, got {alias!r}; "
            f"name it in ETL_TELEMETRY['MODELS']['run']['databases']"
        )
    keeps = ready(alias)
    with transaction.atomic(using=alias):
        if not row.update(**changes):
            return False
        if keeps:
            insert(alias, entries(models, alias, [pk], error=error, is_change=True))
    if isinstance(run, facts.model):
        for name, value in changes.items():
            setattr(run, name, value)
    return True


async def afinish_run(
    run: Model | object,
    status: RunStatus | str,
    *,
    error: BaseException | str | None = None,
    finished_at: datetime | None = None,
    using: str | None = None,
) -> bool:
    """End a run from asynchronous code, see `finish_run`."""
    return await sync_to_async(finish_run)(
        run, status, error=error, finished_at=finished_at, using=using
    )


def _database(run: object, model: type[Model]) -> str:
    if isinstance(run, Model) and run._state.db:  # noqa: SLF001 - Django's documented API
        return str(run._state.db)  # noqa: SLF001 - the same
    alias: Any = router.db_for_write(model)
    return str(alias)
