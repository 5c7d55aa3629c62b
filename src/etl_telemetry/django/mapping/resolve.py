"""From the setting `MODELS` to the host's models, or to everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.apps import apps
from django.db import connections, models, router

from etl_telemetry.config.kinds import nearest
from etl_telemetry.django.mapping import fields, statuses
from etl_telemetry.django.mapping.fields import SOURCE, Wrong
from etl_telemetry.django.mapping.result import Mapped, Models
from etl_telemetry.django.mapping.roles import (
    DATABASES,
    DEFAULT_ROWS,
    MODEL,
    OTHER_KEYS,
    REQUIRED,
    ROLES,
    ROWS,
    STATUSES,
)

_PART = re.compile(r"(?!\d+$)[\w-]+")
"""A key of a JSON object; a number would be a place in an array to some databases."""


@dataclass(slots=True)
class Resolution:
    """What came out."""

    models: Models | None = None
    """The models; None where something is wrong, or nothing is mapped."""
    problems: list[str] = field(default_factory=list)
    """Everything that is wrong, as sentences."""


def resolve(setting: Mapping[str, object]) -> Resolution:
    """Resolve the setting against the models of the project, which must be loaded."""
    result = Resolution()
    if not setting:
        return result
    result.problems.extend(_unknown_roles(setting))
    given = {role: _as_mapping(value) for role, value in setting.items() if role in ROLES}
    found = {role: _model(role, told, result.problems) for role, told in given.items()}
    mapped = {
        role: _fields(role, given[role], model, found, result.problems)
        for role, model in found.items()
        if model is not None
    }
    run = mapped.get("run")
    told = given.get("run", {})
    databases = _databases(told.get(DATABASES), run, result.problems)
    rows = _rows(given.get("task_run", {}).get(ROWS), result.problems)
    if run is None or run.get("status") is None:
        return result
    status = run.model._meta.get_field(run["status"])
    known, wrong = statuses.resolve(told.get(STATUSES), status)
    result.problems.extend(wrong)
    if not result.problems:
        result.models = Models(
            pipeline=mapped["pipeline"], run=run, organization=mapped.get("organization"),
            task_run=mapped.get("task_run"), connector=mapped.get("connector"),
            statuses=known, rows=rows, databases=databases,
        )  # fmt: skip
    return result


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {MODEL: value}


def _unknown_roles(setting: Mapping[str, object]) -> Iterator[str]:
    for role in setting:
        if role not in ROLES:
            fix = nearest(role, list(ROLES)) or f"known are {', '.join(ROLES)}"
            yield f"MODELS[{role!r}] is unknown ({SOURCE}); {fix}"
    for role in REQUIRED:
        if role not in setting:
            yield f"MODELS must have {role!r}, which is missing ({SOURCE})"


def _model(role: str, told: Mapping[str, Any], problems: list[str]) -> type[models.Model] | None:
    name: Any = told.get(MODEL)
    try:
        return apps.get_model(name)
    except (LookupError, ValueError, AttributeError, TypeError):
        labels = [model._meta.label for model in apps.get_models()]
        fix = nearest(str(name), labels) or "name an installed one as 'app.Model'"
        problems.append(
            f"MODELS[{role!r}] must name a model such as 'shop.Run', got {name!r} ({SOURCE}); {fix}"
        )
    return None


def _fields(
    role: str,
    told: Mapping[str, Any],
    model: type[models.Model],
    found: Mapping[str, type[models.Model] | None],
    problems: list[str],
) -> Mapped:
    keys = {key.name: key for key in ROLES[role]}
    known = [MODEL, *keys, *OTHER_KEYS.get(role, ())]
    for name in told:
        if name not in known:
            fix = nearest(str(name), known) or f"known are {', '.join(known)}"
            problems.append(f"MODELS[{role!r}][{name!r}] is unknown ({SOURCE}); {fix}")
    names: dict[str, str | None] = {}
    for name, key in keys.items():
        names[name] = None
        try:
            names[name] = fields.resolve(role, key, model, told.get(name), found.get(key.to))
        except Wrong as wrong:
            problems.append(str(wrong))
    return Mapped(model, MappingProxyType(names))


def _databases(given: object, run: Mapped | None, problems: list[str]) -> tuple[str, ...]:
    if given is None:
        return () if run is None else (router.db_for_write(run.model),)
    names = [given] if isinstance(given, str) else given
    if isinstance(names, (list, tuple)) and names and all(name in connections for name in names):
        return tuple(names)
    problems.append(
        f"MODELS['run']['databases'] must be aliases of DATABASES, got {given!r} ({SOURCE}); "
        f"known are {', '.join(connections)}"
    )
    return ()


def _rows(given: object, problems: list[str]) -> tuple[tuple[str, ...], ...]:
    paths = DEFAULT_ROWS if given is None else (given,) if isinstance(given, str) else given
    if isinstance(paths, (list, tuple)) and paths and all(_is_path(path) for path in paths):
        return tuple(tuple(path.split(".")) for path in paths)
    problems.append(
        f"MODELS['task_run']['rows'] must be paths in the metrics such as 'steps.load.processed', "
        f"got {given!r} ({SOURCE})"
    )
    return ()


def _is_path(path: object) -> bool:
    return isinstance(path, str) and all(_PART.fullmatch(part) for part in path.split("."))
