"""Turn what was asked into JSON: facts by their names, times as ISO 8601, keys as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from inspect import getmembers
from typing import Any

from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.alerts.queries import as_json


def plain(value: object) -> object:
    """Return a value as JSON knows it.

    >>> plain({"a": (1, None, 2.5)})
    {'a': [1, None, 2.5]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if is_dataclass(value):
        return named(value)
    return _fact(value)


def _fact(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return as_json(value) if isinstance(value, Alert) else str(value)


def named(value: object) -> dict[str, object]:
    """Return the facts of a dataclass by name, those that it computes too."""
    kind: Any = type(value)
    return {name: plain(getattr(value, name)) for name in _names(kind)}


@cache
def _names(kind: type[Any]) -> list[str]:
    computed = [name for name, _ in getmembers(kind, lambda found: isinstance(found, property))]
    return [*(field.name for field in fields(kind)), *computed]
