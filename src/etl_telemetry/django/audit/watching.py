"""Which models are audited, and which events a change of one of their rows is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError
from django.db.models import Model
from django.db.models.sql import Query

from etl_telemetry import audit, redaction
from etl_telemetry.audit import AuditEvent
from etl_telemetry.config.kinds import nearest
from etl_telemetry.redaction import MASK

Values = Mapping[str, object]
"""Values of one row: field (`organization_id`) -> value."""

_PERMISSIONS = frozenset({"is_superuser", "is_staff", "is_active"})
_GRANTS = frozenset({"is_superuser", "is_staff"})
_PASSWORD = "password"  # noqa: S105 - the name of a field
_UNTOLD = frozenset({"last_login"})
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Watch:
    """How one model is audited."""

    model: type[Model]
    """The model that was named, or that Django uses for accounts."""
    listed: bool
    """Whether it was named in `Config.audit_models`: all its fields are told then."""
    account: bool
    """Whether it is the user model: passwords and permissions are told then."""
    hidden: frozenset[str]
    """Fields whose values are not told, only that they changed."""
    tenant: str
    """Lookup of the tenant from a row (`organization__code`); "" where it has none."""
    fields: frozenset[str]
    """Fields (`organization_id`) whose change is an event."""

    def events(
        self, kind: str, id_: object, before: Values, after: Values, tenant: object
    ) -> list[AuditEvent]:
        """Return the events that a change of a row is; one that changed nothing is none.

        `kind` names the model of the row, which may be one below the watched one.
        """
        both = bool(before and after)
        changed = [
            name for name in {**before, **after}
            if (name in self.fields or (self.listed and not self.account))
            if not both or before.get(name) != after.get(name)
        ]  # fmt: skip
        if not changed:
            return []
        found = []
        if self.listed:
            verb = "updated" if before and after else "created" if after else "deleted"
            told = {
                word: {name: self._told(name, values[name]) for name in changed if name in values}
                for word, values in (("before", before), ("after", after))
                if values
            }
            found.append(event_about(f"{kind}_{verb}", kind, id_, told, tenant))
        if self.account and after:
            found += self._account_events(kind, id_, changed, before, after)
        return found

    def _account_events(
        self, kind: str, id_: object, changed: Iterable[str], before: Values, after: Values
    ) -> list[AuditEvent]:
        found = []
        flags = sorted(_PERMISSIONS.intersection(changed))
        if not before:  # A new account has what it was given.
            flags = [name for name in flags if name in _GRANTS and after[name]]
        elif _PASSWORD in changed:
            found.append(event_about("password_changed", kind, id_, {}, None))
        if flags:
            told = {
                word: {name: values[name] for name in flags}
                for word, values in (("before", before), ("after", after))
                if values
            }
            found.append(event_about("permission_changed", kind, id_, told, None))
        return found

    def _told(self, name: str, value: object) -> object:
        if name in self.hidden:
            return MASK
        return value if value is None or isinstance(value, _PLAIN) else str(value)


_PLAIN = (str, int, float, list, dict)


class Watches:
    """The watched models, and those below them."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.all = tuple(watches)
        self._by_model = {watch.model: watch for watch in watches}
        self._found: dict[type[Model], Watch | None] = {}

    def __getitem__(self, model: type[Model]) -> Watch | None:
        """Return how a model is audited: as itself, as its proxy's model, as its parent."""
        # Hot path: for each save, update and bulk_create of the process.
        try:
            return self._found[model]
        except KeyError:
            found = next((self._by_model[m] for m in model.__mro__ if m in self._by_model), None)
            self._found[model] = found
            return found

    def models(self) -> list[type[Model]]:
        """List every model that is audited, proxies and children included."""
        return [model for model in apps.get_models(include_auto_created=True) if self[model]]


def watches(models: Sequence[str], hidden: Sequence[str], tenant: str) -> Watches:
    """Return what to audit: the listed models, and accounts.

    `models` are labels (`shop.Pipeline`); an unknown one is left out (`problems` names it).
    `hidden` are fields, with or without their model.
    """
    known = {model._meta.label.lower(): model for model in apps.get_models()}
    named = [known[label.lower()] for label in models if label.lower() in known]
    listed = {_concrete(model) for model in named}
    accounts: set[type[Model]] = set()
    if apps.is_installed("django.contrib.auth"):
        accounts.add(get_user_model())
        listed.add(apps.get_model("auth.Group"))  # Who deletes a group takes permissions.
    return Watches([
        Watch(
            model=model,
            listed=model in listed,
            account=model in accounts,
            fields=_fields(model, listed=model in listed, account=model in accounts),
            hidden=_hidden(model, hidden),
            tenant=tenant if _leads_somewhere(model, tenant) else "",
        )
        for model in sorted(listed | accounts, key=lambda model: model._meta.label)
    ])  # fmt: skip


def problems(models: Sequence[str], hidden: Sequence[str]) -> list[str]:
    """Return what is wrong in the names of models and fields, in the words of `config`.

    >>> problems(["nowhere.Pipeline"], [])[0].partition(",")[0]
    "audit_models must name models of this project"
    """
    known = {model._meta.label.lower(): model for model in apps.get_models()}
    labels = [model._meta.label for model in known.values()]
    found = [
        _wrong("audit_models", "models of this project", label, labels)
        for label in models
        if label.lower() not in known
    ]
    watched = [known[label.lower()] for label in models if label.lower() in known]
    fields = {
        spelling: None
        for model in watched
        for field in model._meta.concrete_fields
        for spelling in (f"{model._meta.label}.{field.name}", field.name, field.attname)
    }
    lower = {spelling.lower() for spelling in fields}
    found += [
        _wrong("audit_hidden_fields", "fields of audit_models", name, list(fields))
        for name in hidden
        if name.lower() not in lower
    ]
    return found


def _wrong(option: str, what: str, got: str, known: Sequence[str]) -> str:
    hint = nearest(got, known) or "correct it or remove it"
    return f"{option} must name {what}, got {got!r} (from {option.upper()}); {hint}"


def _concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


def _fields(model: type[Model], *, listed: bool, account: bool) -> frozenset[str]:
    own = frozenset(field.attname for field in model._meta.concrete_fields)
    if not listed:
        return own & {*_PERMISSIONS, _PASSWORD}
    return own - _UNTOLD if account else own


def kind_of(model: type[Model]) -> str:
    """Return the name of a model in events: `pipeline_run` for `PipelineRun`.

    >>> from django.contrib.auth.models import AnonymousUser
    >>> kind_of(AnonymousUser)
    'anonymous_user'
    """
    concrete = getattr(getattr(model, "_meta", None), "concrete_model", None) or model
    words = _BOUNDARY.sub("_", concrete.__name__).lower().split("_")
    return "_".join(word for word in words if word)


def _hidden(model: type[Model], named: Sequence[str]) -> frozenset[str]:
    """Return the fields that were named, and those that look like secrets, by their real names."""
    found = set()
    for field in model._meta.concrete_fields:
        spellings = {field.name, field.attname}
        labels = {f"{model._meta.label}.{name}".lower() for name in spellings}
        told = {name.lower() for name in named}
        secret = any(redaction.is_secret(name) for name in spellings)
        if secret or told & (spellings | labels):
            found.add(field.attname)
    return frozenset(found)


def _leads_somewhere(model: type[Model], lookup: str) -> bool:
    try:
        names = lookup.split("__")
        _, final, _, rest = Query(model).names_to_path(names, model._meta, fail_on_missing=True)
    except FieldError:
        return False
    return not rest and not final.many_to_many


def event_about(
    name: str, kind: str, id_: object, details: Mapping[str, object], tenant: object
) -> AuditEvent:
    """Return an automatic event about a row.

    >>> from etl_telemetry import audit
    >>> event_about("pipeline_deleted", "pipeline", 7, {}, "acme").organization
    'acme'
    """
    return audit.made(
        name,
        resource={"type": kind, "id": str(id_)},
        organization=None if tenant is None or tenant == "" else str(tenant),
        details=details,
    )
