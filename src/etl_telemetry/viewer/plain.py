"""Records to JSON that every reader understands, JavaScript's included."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_EXACT = 2**53
"""Integers up to here survive in a JavaScript number."""


def to_json(value: object) -> object:
    """Return `value` as what `json.dumps` takes, without loss.

    Times (`..._ns`) and integers past 2**53 become decimal text, as in OTLP's own JSON, since
    JavaScript would round them; NaN and the infinities become their names.

    >>> to_json([1, 2**60, float("inf")])
    [1, '1152921504606846976', 'Infinity']
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    return value


def _record(value: DataclassInstance) -> dict[str, object]:
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        name: str(item) if name.endswith("_ns") and item is not None else to_json(item)
        for name, item in found.items()
    }
