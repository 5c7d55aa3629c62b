"""Read what callers pass: any value becomes a usable one, or nothing, and the mistake is counted.

Nothing here raises. A value of the application may run its code when it is
looked at (a lazy object, a mapping of its own), so each look is guarded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

from opentelemetry.trace import Link, SpanContext

from etl_telemetry import guard, metrics, values
from etl_telemetry.catalogue import (
    PIPELINE_RUN_ROWS_PROCESSED,
    PIPELINE_RUN_ROWS_READ,
    PIPELINE_RUN_ROWS_REJECTED,
    PIPELINE_RUN_ROWS_SKIPPED,
    DropReason,
)
from etl_telemetry.values import AttributeValue

MAX_ID = 128
"""Characters of a run id; a longer one is shortened in a way that keeps ids different."""
MAX_LINKS = 16
"""Spans that a run can be linked to."""
MAX_ATTRIBUTES = 64
"""Attributes that the application can add to a run's span."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_NS = 2**63
_ROWS = {
    "read": PIPELINE_RUN_ROWS_READ,
    "processed": PIPELINE_RUN_ROWS_PROCESSED,
    "rejected": PIPELINE_RUN_ROWS_REJECTED,
    "skipped": PIPELINE_RUN_ROWS_SKIPPED,
}


def optional_text(value: object, *, what: str) -> str | None:
    """Return ``value`` as short text; None stays None."""
    return None if value is None else metrics.label(value, attribute=what)


def given_run_id(value: object) -> str | None:
    """Return a run id as text: the same for a UUID and its text, an int and its text.

    None where ``value`` names no run.

    >>> given_run_id(42), given_run_id(None)
    ('42', None)
    """
    text = ""
    with guard.absorb("reading a run id", reason=DropReason.INVALID_VALUE):
        if value is not None:
            text = _id_text(value)
    if len(text) > MAX_ID:
        # Cut ids would collide, and two runs would share one trace.
        text = f"{text[: MAX_ID // 2 - 1]}-{hashlib.sha256(text.encode()).hexdigest()}"
    return text or None


def new_run_id() -> str:
    """Return the id of a run that the application did not name."""
    return str(uuid4())


def nanoseconds(value: object, *, what: str) -> int | None:
    """Return a moment as Unix nanoseconds, in whole microseconds; None where there is none.

    ``value`` is an aware datetime, Unix seconds, or ISO 8601 text. A datetime
    without a time zone is read as local time, as Python itself does, and counted.

    >>> nanoseconds(datetime(2026, 1, 1, tzinfo=UTC), what="started_at")
    1767225600000000000
    """
    if value is None:
        return None
    found: int | None = None
    with guard.absorb(f"reading {what}", reason=DropReason.INVALID_VALUE):
        found = _moment(value, what=what)
        if found is None:
            invalid(f"{what} must be an aware datetime or Unix seconds: it was ignored")
    return found


def whole_number(value: object, *, what: str) -> int | None:
    """Return a whole number >= 0; None stays None, anything else becomes None."""
    if value is None:
        return None
    number: int | None = None
    with guard.absorb(f"reading {what}", reason=DropReason.INVALID_VALUE):
        number = values.count(value)
        if number is None:
            invalid(f"{what} must be a whole number >= 0: it was ignored")
    return number


def span_contexts(links: object) -> tuple[SpanContext, ...]:
    """Return the span contexts among ``links``: span contexts or API links, the first 16."""
    found: list[SpanContext] = []
    with guard.absorb("reading links", reason=DropReason.INVALID_VALUE):
        if isinstance(links, (SpanContext, Link)):
            links = (links,)
        if not isinstance(links, Iterable):
            invalid("links must be a sequence of span contexts: they were left out")
            return ()
        for link in islice(links, MAX_LINKS):
            context = link.context if isinstance(link, Link) else link
            if not isinstance(context, SpanContext):
                invalid("a link must be a span context: it was left out")
            elif context.is_valid:
                found.append(context)
    return tuple(found)


def distinct(contexts: Iterable[SpanContext]) -> tuple[SpanContext, ...]:
    """Return each span once, in order, the first 16."""
    by_ids = {(context.trace_id, context.span_id): context for context in contexts}
    return tuple(by_ids.values())[:MAX_LINKS]


def span_attributes(attributes: object) -> dict[str, AttributeValue]:
    """Return attributes that a span can carry, at most 64."""
    found: dict[str, AttributeValue] = {}
    with guard.absorb("reading attributes", reason=DropReason.INVALID_VALUE):
        if isinstance(attributes, Mapping):
            found = values.attributes(dict(islice(attributes.items(), MAX_ATTRIBUTES)))
        elif attributes is not None:
            invalid("attributes must be a mapping: they were left out")
    return found


def run_rows(rows: object) -> dict[str, AttributeValue]:
    """Return the attributes of a run's rows: read, processed, rejected, skipped."""
    found: dict[str, AttributeValue] = {}
    with guard.absorb("reading rows", reason=DropReason.INVALID_VALUE):
        if not isinstance(rows, Mapping):
            if rows is not None:
                invalid("rows must be a mapping: they were left out")
            return found
        for word, key in _ROWS.items():
            number = whole_number(rows.get(word), what=f"{word} rows")
            if number is not None:
                found[key] = number
    return found


def error(value: object) -> BaseException | str | None:
    """Return what ended a run: an exception, or text about it."""
    found: BaseException | str | None = None
    with guard.absorb("reading an error", reason=DropReason.INVALID_VALUE):
        found = value if isinstance(value, BaseException) or value is None else values.text(value)
    return found  # noqa: RET504 - the guard may skip the assignment


def invalid(detail: str) -> None:
    """Count an invalid value, and log it once for the line of the application."""
    guard.drop(DropReason.INVALID_VALUE, detail=detail)


def _id_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        invalid("a run id must be text, a UUID or a whole number")
    # An exact `str`: a subclass may print itself otherwise than it compares.
    exact = str.__str__(value) if isinstance(value, str) else value
    return values.text(exact, limit=1_000_000)


def _moment(value: object, *, what: str) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            invalid(f"{what} has no time zone: it was read as local time")
            value = value.astimezone()
        microseconds = (value - _EPOCH) // _MICROSECOND
    else:
        number = values.seconds(value)
        if number is None or number >= _MAX_NS / 1e9:
            return None
        microseconds = round(number * 1e6)
    return microseconds * 1_000 if 0 <= microseconds * 1_000 < _MAX_NS else None
