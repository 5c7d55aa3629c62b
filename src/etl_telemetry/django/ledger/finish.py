"""End a run: the change of its state and its entry in the outbox, in one transaction."""

from __future__ import annotations

from datetime import datetime

from asgiref.sync import sync_to_async
from django.db import router, transaction
from django.db.models import Model
from django.utils import timezone

from etl_telemetry.catalogue import RunStatus
from etl_telemetry.django import mapping
from etl_telemetry.django.figures.windows import moment
from etl_telemetry.django.ledger.entries import entries, error_text, insert
from etl_telemetry.django.ledger.tables import ready
from etl_telemetry.django.mapping import Models
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
    word = _ending(models, status)
    facts = models.run
    alias = _database(models, run, using)
    changes: dict[str, object] = {
        facts["status"]: word,
        facts["finished_at"]: timezone.now() if finished_at is None else moment(finished_at),
    }
    broken = facts.get("error")
    if broken is not None and error:
        changes[broken] = error_text(error)
    pk = run.pk if isinstance(run, Model) else run
    active = {f"{facts['status']}__in": models.statuses.active}
    row = facts.model._base_manager.using(alias).filter(pk=pk, **active)
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


def _ending(models: Models, status: object) -> object:
    """Return the host's value for an end of a run."""
    ending = models.statuses.ending(status)
    if ending is None:
        allowed = [*RunStatus, *models.statuses.of(*RunStatus)]
        raise LedgerError(
            f"the status of a run that ended must be one of "
            f"{', '.join(dict.fromkeys(map(str, allowed)))}, got {status!r} (from finish_run)"
        )
    return ending[1]


def _database(models: Models, run: object, using: str | None) -> str:
    """Return the alias of the database that has the run."""
    alias = using
    if alias is None and isinstance(run, Model):
        alias = run._state.db  # noqa: SLF001 - Django's documented API
    alias = alias or router.db_for_write(models.run.model)
    if alias not in models.databases:
        raise LedgerError(
            f"runs must be in one of the databases {', '.join(models.databases)}, got {alias!r}; "
            f"name it in ETL_TELEMETRY['MODELS']['run']['databases']"
        )
    return alias
