"""Many-to-many fields: who was put into which group, and which permissions were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Model, signals

from etl_telemetry.audit import AuditEvent
from etl_telemetry.django.audit import store
from etl_telemetry.django.audit.watching import Watches, event_about, kind_of

_UID = "etl_telemetry.audit.memberships"
_PERMISSIONS = frozenset({"groups", "user_permissions", "permissions"})
_VERBS = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}


def follow(watches: Watches) -> Callable[[], None]:
    """Keep an event for every change of the many-to-many fields of watched models.

    Django sends the signal inside of the transaction of the change. Returns how to undo it.
    """
    receivers = []
    for watch in watches.all:
        for field in watch.model._meta.local_many_to_many:
            permission = watch.model._meta.app_label == "auth" or watch.account
            of_permissions = permission and field.name in _PERMISSIONS
            if of_permissions or watch.listed:
                through = field.remote_field.through
                receiver = _Receiver(watch.model, field, permission=of_permissions)
                signals.m2m_changed.connect(
                    receiver, sender=through, weak=False, dispatch_uid=(_UID, field.name)
                )
                receivers.append((through, field.name))

    def undo() -> None:
        for through, name in receivers:
            signals.m2m_changed.disconnect(sender=through, dispatch_uid=(_UID, name))

    return undo


class _Receiver:
    """What is done when one many-to-many field changes, from either of its sides."""

    def __init__(self, model: type[Model], field: Any, *, permission: bool) -> None:
        self._field = field
        self._kind = kind_of(model)
        self._event = "permission_changed" if permission else f"{self._kind}_updated"

    def __call__(
        self,
        *,
        action: str,
        instance: Model,
        reverse: bool,
        pk_set: set[Any] | None,
        using: str,
        **_: object,
    ) -> None:
        verb = _VERBS.get(action)
        if verb is None:
            return
        others = self._all(instance, reverse, using) if pk_set is None else pk_set
        if not others:
            return
        if reverse:
            events = [self._about(one, verb, [instance.pk]) for one in sorted(others, key=str)]
        else:
            events = [self._about(instance.pk, verb, others)]
        store.keep_automatic(events, using=using)

    def _about(self, owner: object, verb: str, others: Iterable[object]) -> AuditEvent:
        told = {"field": self._field.name, verb: sorted(map(str, others))}
        return event_about(self._event, self._kind, owner, told, None)

    def _all(self, instance: Model, reverse: bool, using: str) -> set[Any]:  # noqa: FBT001
        """Return what is about to be cleared."""
        here, there = self._field.m2m_field_name(), self._field.m2m_reverse_field_name()
        if reverse:
            here, there = there, here
        through = self._field.remote_field.through
        found = through._base_manager.using(using).filter(**{here: instance})
        return set(found.values_list(there, flat=True))
