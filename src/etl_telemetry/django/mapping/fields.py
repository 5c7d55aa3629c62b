"""Find the field that a fact names, and say what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP

from etl_telemetry.config.kinds import nearest
from etl_telemetry.django.mapping.roles import Key

SOURCE = "from ETL_TELEMETRY['MODELS']"
"""Where every value comes from, in words for people."""
_KINDS: Mapping[str, tuple[type[Any], str]] = {
    "moment": (models.DateTimeField, "a date and time"),
    "json": (models.JSONField, "a JSON field"),
}


class Wrong(ValueError):  # noqa: N818 - it reads as what it tells
    """A sentence about a value that is wrong."""


def resolve(
    role: str, key: Key, model: type[models.Model], given: object, to: object
) -> str | None:
    """Return the name of the field for a fact; None where the model does not tell it.

    `given` is what the setting says, None where it says nothing. `to` is the model
    that a relation must lead to. Raise `Wrong`.
    """
    name = key.default if given is None else given
    what = f"MODELS[{role!r}][{key.name!r}]"
    if key.optional and (given is False or (given is None and not _has(model, key.default))):
        return None
    if not isinstance(name, str):
        raise Wrong(
            f"{what} must be the name of a field of {label(model)}, got {name!r} ({SOURCE})"
        )
    field = _walk(what, name, model, given=given is not None)
    if key.written and LOOKUP_SEP in name:
        raise Wrong(
            f"{what} must be a field of {label(model)} itself, since it is written, "
            f"got {name!r} ({SOURCE})"
        )
    _check_kind(what, key, field, to)
    return name


def label(model: type[models.Model]) -> str:
    """Return how a setting names a model."""
    return str(model._meta.label)


def _users() -> type[models.Model] | None:
    """Return the model of users; None where there is none."""
    try:
        return apps.get_model(settings.AUTH_USER_MODEL)
    except (LookupError, ValueError):
        return None


def _has(model: type[models.Model], name: str) -> bool:
    return name in _names(model)


def _names(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.get_fields() if field.concrete]


def _walk(what: str, name: str, model: type[models.Model], *, given: bool) -> Any:
    """Follow `a__b__c` to its last field."""
    field: Any = None
    for part in name.split(LOOKUP_SEP):
        here = model if field is None else field.related_model
        found = None if here is None else _field(here, part)
        if found is None:
            said = f"got {name!r}" if given else f"and there is no {name!r}, the default"
            fix = f"{field.name!r} leads to no other model" if here is None else _fix(here, part)
            raise Wrong(
                f"{what} must be the name of a field of {label(model)}, {said} ({SOURCE}); {fix}"
            )
        field = found
    return field


def _field(model: Any, name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _fix(model: Any, name: str) -> str:
    known = _names(model)
    return nearest(name, known) or f"fields are {', '.join(known)}"


def _check_kind(what: str, key: Key, field: Any, to: Any) -> None:
    got = f"got {field.name!r}, which is a {type(field).__name__} ({SOURCE})"
    if key.kind == "users":
        if field.related_model is not _users():
            raise Wrong(f"{what} must lead to {settings.AUTH_USER_MODEL}, your users, {got}")
        return
    if not field.concrete:
        raise Wrong(f"{what} must be a field with a column, {got}")
    if key.kind != "any":
        expected, words = _KINDS[key.kind]
        if not isinstance(field, expected):
            raise Wrong(f"{what} must be {words}, {got}")
    if to is None:
        return
    if not isinstance(field, models.ForeignKey):
        raise Wrong(f"{what} must be a foreign key to {label(to)}, {got}")
    if not issubclass(to, field.related_model):
        raise Wrong(
            f"{what} must lead to {label(to)}, got {field.name!r}, "
            f"which leads to {label(field.related_model)} ({SOURCE})"
        )
