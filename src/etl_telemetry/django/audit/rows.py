"""Read the rows that a change is about, before it and after it, and keep what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import connections
from django.db.models import Model, QuerySet

from etl_telemetry.audit import AuditEvent
from etl_telemetry.django.audit import store
from etl_telemetry.django.audit.watching import Watch, kind_of

_BATCH = 500
_TENANT = "_etl_telemetry_tenant"

Rows = Mapping[Any, Mapping[str, object]]
"""Primary key -> the values of a row."""


def read(
    watch: Watch, model: type[Model], using: str, keys: Collection[Any], *, lock: bool = False
) -> Rows:
    """Return rows as the database has them, with the tenant; `lock` them against others.

    From the database and not from the instances: these may be older than the row, hold
    expressions, or text where the field is a number.
    """
    names = [field.attname for field in model._meta.concrete_fields]
    known = list(keys)
    found: dict[Any, Mapping[str, object]] = {}
    for start in range(0, len(known), _BATCH):
        some: QuerySet[Any] = QuerySet(model, using=using).filter(
            pk__in=known[start : start + _BATCH]
        )
        if lock and connections[using].features.has_select_for_update:
            # A query of its own: the tenant may be behind an outer join, which cannot be locked.
            list(some.select_for_update().values_list("pk"))
        lookups = [*names, watch.tenant] if watch.tenant else names
        for key, *values in some.values_list("pk", *lookups):
            row = dict(zip(names, values, strict=False))
            row[_TENANT] = values[-1] if watch.tenant else None
            found[key] = row
    return found


def keep_difference(
    watch: Watch, model: type[Model], using: str, *, before: Rows, after: Rows
) -> None:
    """Keep the events that a change of rows is, in its transaction."""
    kind = kind_of(model)
    events: list[AuditEvent] = []
    for key in {**before, **after}:
        old, new = dict(before.get(key, {})), dict(after.get(key, {}))
        tenants = [row.pop(_TENANT, None) for row in (new, old)]
        tenant = tenants[0] if tenants[0] is not None else tenants[1]
        events += watch.events(kind, key, old, new, tenant)
    store.keep_automatic(events, using=using)
