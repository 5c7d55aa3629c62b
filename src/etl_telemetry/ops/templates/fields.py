"""What Elasticsearch makes of each field that this library writes itself.

They are in the mapping from the start: a search, a sum or a sort by one of them is right before its
first record, and no field of the application can take its place when the limit is reached.
"""

from __future__ import annotations

from collections.abc import Mapping

from etl_telemetry import catalogue
from etl_telemetry.catalogue import names

Property = Mapping[str, object]

WORD: Property = {"type": "keyword", "ignore_above": 1024}
"""Text that is compared as a whole, grouped by and sorted; what is longer is kept, not indexed."""
TEXT: Property = {"type": "text"}
"""Text that is searched by its words."""
WHOLE: Property = {"type": "long"}
FRACTION: Property = {"type": "double"}
MAP: Property = {"type": "flattened", "ignore_above": 1024}
"""A map whose values are searched as words; one field, however many keys it has."""
WORD_AND_TEXT: Property = {**WORD, "fields": {"text": TEXT}}
TEXT_AND_WORD: Property = {**TEXT, "fields": {"keyword": WORD}}

_WHOLE = frozenset({
    names.AUDIT_BLOCK_NUMBER, names.AUDIT_BLOCK_ROWS, names.CODE_LINE_NUMBER,
    names.DB_QUERY_COUNT, names.DB_REPEATED_COUNT, names.HTTP_RESPONSE_STATUS_CODE,
    names.ROWS_PROCESSED, names.ROWS_READ, names.ROWS_REJECTED, names.ROWS_SKIPPED,
    names.TASK_RESULT_SIZE, names.WORKER_PID,
})  # fmt: skip
DURATION = "duration"
_FRACTIONS = frozenset({DURATION, names.DB_QUERY_DURATION, names.TASK_DURATION})
_OWN: Mapping[str, Property] = {
    names.EXCEPTION_MESSAGE: WORD_AND_TEXT,
    names.EXCEPTION_STACKTRACE: TEXT,
    names.AUDIT_DETAILS: MAP,
}
_EVERY = (
    names.CODE_FILE_PATH, names.CODE_FUNCTION_NAME, names.CODE_LINE_NUMBER,
    names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE,
)  # fmt: skip
"""On every record, or on every one with an exception."""

RESOURCE: Mapping[str, Property] = dict.fromkeys(
    (
        names.SERVICE_NAME,
        names.SERVICE_VERSION,
        names.SERVICE_INSTANCE_ID,
        names.DEPLOYMENT_ENVIRONMENT_NAME,
        names.HOST_NAME,
    ),
    WORD,
)
"""What is known of the process that wrote the record."""


def of_logs() -> dict[str, Property]:
    """Return the attributes of log records."""
    events = {field for event in catalogue.LOG_EVENTS.values() for field in event.fields}
    # A bare word (`value`, `count`) may be the application's own as well: its first record decides.
    ours = {name for name in events if "." in name}
    return _properties({*ours, *_EVERY, DURATION, names.WORKER_NAME, names.WORKER_PID})


def of_audit() -> dict[str, Property]:
    """Return the attributes of audit events."""
    return _properties({*catalogue.AUDIT_FIELDS, *_EVERY, names.PIPELINE_RUN_ID})


def _properties(found: set[str]) -> dict[str, Property]:
    return {name: _property(name) for name in sorted(found)}


def _property(name: str) -> Property:
    if name in _OWN:
        return _OWN[name]
    if name in _WHOLE:
        return WHOLE
    return FRACTION if name in _FRACTIONS else WORD
