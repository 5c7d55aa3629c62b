"""The template of each data stream: its mapping, its limits, its retention.

A record that Elasticsearch rejects is gone, so a mapping takes any record: dots are part of a name
(`passthrough`), what does not fit its field is kept and not indexed, and so is the field past the
limit. No type is used that only Elastic's own distribution has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from etl_telemetry.ops.templates.fields import (
    MAP,
    RESOURCE,
    TEXT,
    TEXT_AND_WORD,
    WHOLE,
    WORD,
    Property,
    of_audit,
    of_logs,
)
from etl_telemetry.ops.thresholds import Thresholds

FIELD_LIMIT = 1000
"""Fields of an index. It is Elasticsearch's own default; past it new ones are not indexed."""
TIMESTAMP = "@timestamp"
_TIME: Property = {"type": "date_nanos"}


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of documents, with a retention of its own."""

    name: str
    """Name of the template."""
    pattern: str
    """Data streams that it is for."""
    what: str
    """What they hold, for people: `Log records`."""
    days: float
    """Days that a document is kept."""
    priority: int
    """Of two templates that fit, the one with the higher number is used."""
    attributes: Mapping[str, Property]
    """Attributes that are known from the start."""
    top: Mapping[str, Property] = field(default_factory=dict)
    """Fields beside the attributes."""


def streams(limits: Thresholds) -> tuple[Stream, ...]:
    """Return all streams."""
    return (
        Stream(
            "etl-audit", "logs-etl.audit.otel-*", "Audit records", limits.audit_days, 300,
            of_audit(), _record(TEXT_AND_WORD),
        ),
        Stream(
            "etl-errors", "logs-etl.errors.otel-*", "Log records of errors", limits.errors_days,
            300, of_logs(), _record(TEXT),
        ),
        Stream(
            "etl-logs", "logs-*.otel-*", "Log records", limits.logs_days, 200,
            of_logs(), _record(TEXT),
        ),
        Stream("etl-traces", "traces-*.otel-*", "Spans", limits.traces_days, 200, {}, _SPAN),
    )  # fmt: skip


def template(stream: Stream) -> dict[str, object]:
    """Return the index template as Elasticsearch takes it."""
    kept = f"{stream.days:.0f}"
    return {
        "index_patterns": [stream.pattern],
        "priority": stream.priority,
        "data_stream": {},
        "_meta": {
            "description": f"{stream.what}, kept for {kept} days.",
            "managed_by": "etl-telemetry",
        },
        "template": {
            "settings": {"index": _SETTINGS},
            "lifecycle": {"data_retention": f"{kept}d"},
            "mappings": {
                "date_detection": False,
                "dynamic": False,
                "dynamic_templates": _DYNAMIC,
                "properties": _properties(stream),
            },
        },
    }


def fields(stream: Stream) -> dict[str, str]:
    """Return the type of each field of the mapping by its whole name.

    >>> fields(streams(Thresholds())[0])["attributes.audit.details"]
    'flattened'
    """
    return dict(_flat(_properties(stream), ""))


def _flat(properties: Mapping[str, Property], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, each in properties.items():
        whole = f"{prefix}{name}"
        for below in ("properties", "fields"):
            inner = each.get(below)
            found += _flat(inner, f"{whole}.") if isinstance(inner, dict) else []
        if each.get("type", "object") not in ("object", "passthrough"):
            found.append((whole, str(each["type"])))
    return found


def _properties(stream: Stream) -> dict[str, Property]:
    return {
        TIMESTAMP: _TIME,
        "data_stream": {"properties": dict.fromkeys(("type", "dataset", "namespace"), WORD)},
        "resource": {
            "properties": {"attributes": _open(30, RESOURCE), "schema_url": WORD},
        },
        "scope": {"properties": {"name": WORD, "version": WORD, "attributes": _open(20)}},
        "trace_id": WORD,
        "span_id": WORD,
        "attributes": _open(10, stream.attributes),
        **stream.top,
    }


def _open(priority: int, known: Mapping[str, Property] | None = None) -> Property:
    """Return a map that takes any attribute. By `priority` its names are short names, too."""
    opened: dict[str, object] = {"type": "passthrough", "dynamic": True, "priority": priority}
    return {**opened, "properties": dict(known)} if known else opened


def _record(text: Property) -> dict[str, Property]:
    return {
        "observed_timestamp": _TIME,
        "severity_number": {"type": "byte"},
        "severity_text": WORD,
        "event_name": WORD,
        "dropped_attributes_count": WHOLE,
        "body": {"properties": {"text": text, "structured": MAP}},
    }


_SPAN: dict[str, Property] = {
    "parent_span_id": WORD,
    "trace_state": WORD,
    "name": WORD,
    "kind": WORD,
    "duration": WHOLE,
    "links": MAP,
    "dropped_attributes_count": WHOLE,
    "dropped_events_count": WHOLE,
    "dropped_links_count": WHOLE,
    "status": {"properties": {"code": WORD, "message": WORD}},
}

_SETTINGS = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    "codec": "best_compression",
    "mapping": {
        "total_fields": {"limit": FIELD_LIMIT, "ignore_dynamic_beyond_limit": True},
        "ignore_malformed": True,
    },
}
_DYNAMIC = [
    {"strings": {"match_mapping_type": "string", "mapping": WORD}},
    {"fractions": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
    # A map is kept and not indexed: the next record may have a text there.
    {
        "maps": {
            "path_match": ["attributes.*", "resource.attributes.*", "scope.attributes.*"],
            "match_mapping_type": "object",
            "mapping": {"type": "object", "enabled": False},
        }
    },
]
