"""Names and attributes as callers give them, made legal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from opentelemetry.trace import SpanKind

from etl_telemetry import guard, values
from etl_telemetry.catalogue import DropReason
from etl_telemetry.values import AttributeValue

MAX_NAME = 256
"""Characters of a span's name."""
MAX_ATTRIBUTES = 128
"""Attributes of one span, as in the SDK, which warns where there are more."""
UNNAMED = "unnamed"
"""Name of a span whose name is empty."""


def span_name(name: object) -> str:
    """Return `name` as a span's name; count what is none.

    >>> span_name("extract"), span_name("")
    ('extract', 'unnamed')
    """
    if type(name) is not str or not name:
        guard.drop(DropReason.INVALID_VALUE, detail="the name of a span must be a text")
    return values.text(name, limit=MAX_NAME) or UNNAMED


def span_kind(kind: object) -> SpanKind:
    """Return `kind` as a span's kind; count what is none."""
    if type(kind) is SpanKind:
        return kind
    detail = f"kind must be a SpanKind, got {type(kind).__name__}: it is INTERNAL"
    guard.drop(DropReason.INVALID_VALUE, detail=detail)
    return SpanKind.INTERNAL


def span_attributes(attributes: object) -> dict[str, AttributeValue]:
    """Return `attributes` with legal keys and values; count what is no mapping."""
    found: dict[str, AttributeValue] = {}
    with guard.absorb("reading attributes", reason=DropReason.INVALID_VALUE):
        if isinstance(attributes, Mapping):
            given = dict(islice(attributes.items(), MAX_ATTRIBUTES))
            if len(attributes) > len(given):
                guard.drop(DropReason.TRUNCATED, detail=f"more than {MAX_ATTRIBUTES} attributes")
            found.update(values.attributes(given))
        elif attributes is not None:
            guard.drop(DropReason.INVALID_VALUE, detail="attributes must be a mapping")
    return found
