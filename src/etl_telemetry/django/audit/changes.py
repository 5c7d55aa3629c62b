"""Every way in which Django's ORM changes rows of a watched model.

| way                                            | where it is caught                        |
| ---------------------------------------------- | ----------------------------------------- |
| `save()`, `create()`, forms, admin, `loaddata` | `Model.save_base`                         |
| `update()`, `bulk_update()`, `SET_NULL`        | `QuerySet.update`                         |
| `bulk_create()`                                | `QuerySet.bulk_create`                    |
| `delete()`, of query sets and cascades too     | `Collector.delete`                        |
| `add`, `remove`, `set`, `clear`                | the signal `m2m_changed`                  |

The asynchronous variants call these. Signals alone do not do: `post_save` comes after the
commit in autocommit mode, and bulk operations send none. What cannot be told is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router, transaction
from django.db.models import Model, QuerySet, signals
from django.db.models.deletion import Collector

from etl_telemetry.django.audit import rows
from etl_telemetry.django.audit.watching import Watch, Watches
from etl_telemetry.errors import AuditError

_UID = "etl_telemetry.audit"

Undo = Callable[[], None]


def follow(watches: Watches) -> Undo:
    """Keep an event for every change of watched models from now on; return how to undo it."""
    undos = [
        # Not on the watched models: a deserialized object calls `Model.save_base` itself.
        _wrap(Model, "save_base", _save(watches)),
        _wrap(QuerySet, "update", _update(watches)),
        _wrap(QuerySet, "bulk_create", _bulk_create(watches)),
        _wrap(Collector, "delete", _delete(watches)),
        _no_fast_deletes(watches),
    ]

    def undo() -> None:
        for one in reversed(undos):
            one()

    return undo


def _wrap(owner: Any, name: str, around: Callable[[Any], Any]) -> Undo:
    """Replace a method by one around it; return how to put it back."""
    original = getattr(owner, name)
    wrapper = wraps(original)(around(original))
    setattr(owner, name, wrapper)

    def undo() -> None:
        if getattr(owner, name) is wrapper:
            setattr(owner, name, original)

    return undo


def _save(watches: Watches) -> Callable[[Any], Any]:
    def around(original: Any) -> Any:
        def save_base(  # noqa: PLR0917 - Django's
            self: Model,
            raw: bool = False,  # noqa: FBT001, FBT002 - Django's
            force_insert: Any = False,  # noqa: FBT002 - Django's
            force_update: bool = False,  # noqa: FBT001, FBT002 - Django's
            using: str | None = None,
            update_fields: Collection[str] | None = None,
        ) -> None:
            model = type(self)
            watch = watches[model]
            told = (raw, force_insert, force_update, using, update_fields)
            if watch is None or not _concerns(watch, model, update_fields):
                original(self, *told)
                return
            alias = using or router.db_for_write(model, instance=self)
            with transaction.atomic(using=alias):
                key = self.pk
                known = () if key is None or force_insert else (key,)
                before = rows.read(watch, model, alias, known, lock=True)
                original(self, raw, force_insert, force_update, alias, update_fields)
                after = rows.read(watch, model, alias, (self.pk,))
                rows.keep_difference(watch, model, alias, before=before, after=after)

        return save_base

    return around


def _update(watches: Watches) -> Callable[[Any], Any]:
    def around(original: Any) -> Any:
        def update(self: QuerySet[Any], **kwargs: Any) -> int:
            watch = watches[self.model]
            odd = self.query.is_sliced or self.query.combinator  # Django refuses these itself.
            if watch is None or odd or not _concerns(watch, self.model, kwargs):
                return int(original(self, **kwargs))
            self._for_write = True  # type: ignore[attr-defined]  # Django's, so that `db` is right
            using = self.db
            with transaction.atomic(using=using):
                before = _locked(self, watch, using)
                changed = int(original(self, **kwargs))
                after = rows.read(watch, self.model, using, before.keys())
                if changed != len(before) or len(after) != len(before):
                    raise _lost(self.model, "update()")
                rows.keep_difference(watch, self.model, using, before=before, after=after)
            return changed

        return update

    return around


def _locked(query: QuerySet[Any], watch: Watch, using: str) -> rows.Rows:
    """Return the rows that a query finds, locked, so that an update meets the same ones.

    While it waited for the locks, another transaction may have changed what the query finds: a
    row that it finds no more is not updated, as without an audit. A new one would not be locked.
    """
    before = rows.read(watch, query.model, using, _keys(query), lock=True)
    if not connections[using].features.has_select_for_update:
        return before
    found = _keys(query)
    if not before.keys() >= set(found):
        raise _lost(query.model, "update()")
    return {key: before[key] for key in found}


def _keys(query: QuerySet[Any]) -> list[Any]:
    return list(dict.fromkeys(query.order_by().values_list("pk", flat=True)))


def _bulk_create(watches: Watches) -> Callable[[Any], Any]:
    def around(original: Any) -> Any:
        def bulk_create(  # noqa: PLR0917 - Django's
            self: QuerySet[Any],
            objs: Iterable[Any],
            batch_size: int | None = None,
            ignore_conflicts: bool = False,  # noqa: FBT001, FBT002 - Django's
            update_conflicts: bool = False,  # noqa: FBT001, FBT002 - Django's
            update_fields: Collection[str] | None = None,
            unique_fields: Collection[str] | None = None,
        ) -> Any:
            watch = watches[self.model]
            told = (batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields)
            if watch is None:
                return original(self, objs, *told)
            if ignore_conflicts or update_conflicts:
                raise _refused(self.model, "with ignore_conflicts or update_conflicts")
            self._for_write = True  # type: ignore[attr-defined]  # Django's, so that `db` is right
            using = self.db
            with transaction.atomic(using=using):
                made = original(self, objs, *told)
                keys = [one.pk for one in made]
                if None in keys:
                    raise _refused(self.model, "on a database that does not return their keys")
                after = rows.read(watch, self.model, using, keys)
                rows.keep_difference(watch, self.model, using, before={}, after=after)
            return made

        return bulk_create

    return around


def _delete(watches: Watches) -> Callable[[Any], Any]:
    def around(original: Any) -> Any:
        def delete(self: Collector) -> Any:
            met = [
                (watch, model, {one.pk for one in instances})
                for model, instances in self.data.items()
                if (watch := watches[model]) is not None and watch.listed
            ]
            if not met:
                return original(self)
            using = str(self.using)
            with transaction.atomic(using=using):
                before = [
                    rows.read(watch, model, using, keys, lock=True) for watch, model, keys in met
                ]
                done = original(self)
                for (watch, model, _), gone in zip(met, before, strict=True):
                    rows.keep_difference(watch, model, using, before=gone, after={})
            return done

        return delete

    return around


def _no_fast_deletes(watches: Watches) -> Undo:
    """Make Django collect the rows that it deletes: it does so where somebody listens."""
    models = watches.models()
    for model in models:
        signals.post_delete.connect(_listen, sender=model, dispatch_uid=_UID)

    def undo() -> None:
        for model in models:
            signals.post_delete.disconnect(sender=model, dispatch_uid=_UID)

    return undo


def _listen(**_: object) -> None:
    """Do nothing: see `_no_fast_deletes`."""


def _concerns(
    watch: Watch, model: type[Model], named: Collection[str] | Mapping[str, object] | None
) -> bool:
    """Tell whether a write of the named fields (None: of all) can be an event."""
    if named is None:
        return True
    for name in named:
        try:
            field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return True  # Django will say so.
        # What a child adds to the fields of a listed parent is told too.
        if field.attname in watch.fields or (watch.listed and not watch.account):
            return True
    return False


def _refused(model: type[Model], how: str) -> AuditError:
    return AuditError(
        f"bulk_create() of {model._meta.label} {how} cannot be audited: which rows it "
        "changes cannot be told. Save them one by one, or take the model out of AUDIT_MODELS"
    )


def _lost(model: type[Model], how: str) -> AuditError:
    return AuditError(
        f"{how} of {model._meta.label} cannot be audited: "
        "its rows were changed by another transaction at the same time, or it changes their "
        "primary key. Nothing was changed: do it again"
    )
