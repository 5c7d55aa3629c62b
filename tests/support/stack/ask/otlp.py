"""Spans in OTLP's JSON, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


@dataclass(frozen=True, slots=True)
class Span:
    """One span."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_span_id: str
    """Its parent, or an empty text."""
    name: str
    """Its name."""
    kind: str
    """One of `KINDS`."""
    start: int
    """Unix time in nanoseconds."""
    end: int
    """Unix time in nanoseconds."""
    status: str
    """One of `STATUSES`."""
    attributes: Mapping[str, Any]
    """Its attributes, with numbers as numbers."""
    resource: Mapping[str, Any]
    """Attributes of the process that made it."""
    scope: str
    """Name of the instrumentation."""
    links: tuple[tuple[str, str], ...]
    """Trace id and span id of each link."""


def spans(document: Mapping[str, Any]) -> list[Span]:
    """Return the spans of `{"resourceSpans": [...]}`, by start."""
    found = [
        _span(span, resource=attributes(each.get("resource", {})), scope=scope)
        for each in document.get("resourceSpans", ())
        for scope in each.get("scopeSpans", ())
        for span in scope.get("spans", ())
    ]
    return sorted(found, key=lambda span: (span.start, span.span_id))


def attributes(owner: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span, a resource or a scope."""
    return _pairs(owner.get("attributes", ()))


def _span(span: Mapping[str, Any], *, resource: dict[str, Any], scope: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_span_id=span.get("parentSpanId", ""),
        name=span["name"],
        kind=KINDS[span.get("kind", 0)],
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        status=STATUSES[span.get("status", {}).get("code", 0)],
        attributes=attributes(span),
        resource=resource,
        scope=scope.get("scope", {}).get("name", ""),
        links=tuple((link["traceId"], link["spanId"]) for link in span.get("links", ())),
    )


def _pairs(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in pairs}


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items() or (("stringValue", None),)
    match kind:
        case "intValue":
            return int(content)
        case "arrayValue":
            return [_value(each) for each in content.get("values", ())]
        case "kvlistValue":
            return _pairs(content.get("values", ()))
        case _:
            return content
