"""Read a log record: its message, fields, exception and trace, as they may leave the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id, get_current_span

from etl_telemetry import guard, redaction
from etl_telemetry.logs import errors, hosts
from etl_telemetry.logs.context import current_fields
from etl_telemetry.logs.plain import Converter

MAX_MESSAGE = 16_384
"""Characters of a message."""
SNAPSHOT = "_etl_telemetry_snapshot"
"""Attribute in which `ContextFilter` keeps the context of a record."""

# What logging itself puts on a record: differs by Python version, so read off one. Other
# attributes of a record come from `extra`, or from somebody's filter or record factory.
_NATIVE = frozenset(
    {
        *vars(logging.LogRecord("", 0, "", 0, "", (), None)),
        *("message", "asctime", "taskName", SNAPSHOT),
    }
)


class Seen(NamedTuple):
    """What a record tells, values still as they were given."""

    message: str
    """The formatted message; where its arguments do not fit, the message and the arguments."""
    fields: Mapping[str, object]
    """Fields of `log_context`, then those of the record's `extra`, which win."""
    error: errors.ErrorInfo | None
    """The exception, redacted."""


# Hot path: runs for every record (tests/benchmarks/bench_logs.py).
def read(
    record: logging.LogRecord, *, policy: redaction.Policy = redaction.NOTHING_ALLOWED
) -> Seen:
    """Return what a record tells; `policy` says what the redaction lets pass."""
    given = vars(record)
    fields: dict[str, object] = {**(given[SNAPSHOT][0] if SNAPSHOT in given else current_fields())}
    own = given.keys() - _NATIVE
    if own:
        fields.update((key, given[key]) for key in given if key in own)
    if record.stack_info:
        fields["code.stacktrace"] = record.stack_info
    message = hosts.clean(record, fields, policy=policy)
    error = errors.describe(record.exc_info, policy=policy) if record.exc_info else None
    return Seen(_message(record) if message is None else message, fields, error)


def span_of(record: logging.LogRecord) -> SpanContext:
    """Return the context of the span in which the record was made; an invalid one outside of any.

    That is the current span, unless another thread or process made the record.
    """
    kept = vars(record).get(SNAPSHOT)
    return kept[1] if kept else get_current_span().get_span_context()


def trace_fields(record: logging.LogRecord) -> dict[str, str]:
    """Return `trace_id` and `span_id` as hex; {} outside of any trace."""
    span = span_of(record)
    if not span.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(span.trace_id),
        "span_id": format_span_id(span.span_id),
    }


class ContextFilter(logging.Filter):
    """Keep the context of a record that another thread or process will format.

    Put it on a `logging.handlers.QueueHandler`: the thread behind the queue knows
    neither `log_context` nor the current span.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the context on the record; always True."""
        converter = Converter()
        fields = dict(converter.field(key, value) for key, value in current_fields().items())
        record.__dict__.setdefault(SNAPSHOT, (fields, get_current_span().get_span_context()))
        return True


def _message(record: logging.LogRecord) -> str:
    """Format the message; a mistake in it must not lose the record."""
    text = guard.attempt(record.getMessage, None)
    if text is not None:
        return text
    converter = Converter()
    return f"{converter.convert(record.msg)} {converter.convert(record.args)}"
