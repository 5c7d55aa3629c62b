"""The run header: how a run travels with the messages of its tasks.

Versioned JSON in ASCII, at most some 12 kB. What cannot be read is no run: a
message of a newer release, of another program or of an attacker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from opentelemetry.trace import SpanContext, TraceFlags

from etl_telemetry import values
from etl_telemetry.metrics.labels import MAX_LENGTH
from etl_telemetry.pipelines.inputs import MAX_ID, MAX_LINKS

VERSION = 1
"""Version of the format; a reader understands its own only."""
MAX_SIZE = 16_384
"""Characters that a reader looks at."""

_LINK = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TEXTS = {"id": MAX_ID, "name": MAX_LENGTH, "organization": MAX_LENGTH}
_OPTIONAL_TEXTS = {"trigger": MAX_LENGTH, "triggered_by": MAX_LENGTH}


def dump(fields: Mapping[str, object], links: Sequence[SpanContext]) -> str:
    """Return the header of a run."""
    given = {name: value for name, value in fields.items() if value is not None}
    written = [context_text(link) for link in links]
    document = {"v": VERSION, **given, **({"links": written} if written else {})}
    return json.dumps(document, separators=(",", ":"))


def load(header: object) -> dict[str, object] | None:
    """Return the fields of a run, checked one by one, or None where this is no run header."""
    document = read(header)
    if document is None or document.get("v") != VERSION:
        return None
    fields: dict[str, object] = {}
    for name, limit in _TEXTS.items():
        text = _text(document.get(name), limit=limit)
        if text is None:
            return None
        fields[name] = text
    started = values.count(document.get("started_ns"))
    if started is None:
        return None
    fields["started_ns"] = started
    for name, limit in _OPTIONAL_TEXTS.items():
        fields[name] = _text(document.get(name), limit=limit)
    fields["attempt"] = values.count(document.get("attempt"))
    fields["links"] = _links(document.get("links"))
    return fields


def read(header: object) -> dict[str, object] | None:
    """Return the JSON object that a header holds, or None."""
    # By `type`: `isinstance` asks the value itself, which may be a lazy object that fails.
    if not issubclass(type(header), (str, bytes)) or len(header) > MAX_SIZE:  # type: ignore[arg-type]
        return None
    try:
        document = json.loads(header)  # type: ignore[arg-type]
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(text: object, *, limit: int) -> str | None:
    """Return text that can be encoded: JSON may hold lone surrogates."""
    if not isinstance(text, str) or not 0 < len(text) <= limit:
        return None
    return values.text(text, limit=limit)


def context_text(context: SpanContext) -> str:
    """Return the ids and flags of a span as text."""
    return f"{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def context_of(text: object) -> SpanContext | None:
    """Return what `context_text` wrote, or None."""
    found = _LINK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    trace, span, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _links(written: object) -> tuple[SpanContext, ...]:
    if not isinstance(written, list):
        return ()
    contexts = map(context_of, written[:MAX_LINKS])
    return tuple(context for context in contexts if context is not None)
