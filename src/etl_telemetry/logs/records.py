"""Read a log record: its message, fields, exception and trace, as they may leave the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id, get_current_span

from etl_telemetry import redaction
from etl_telemetry.logs import errors, hosts
from etl_telemetry.logs.context import current_fields
from etl_telemetry.logs.plain import Converter, attempt

MAX_MESSAGE = 16_384
"""Characters of a message."""
SNAPSHOT = "_etl_telemetry_snapshot"
"""Attribute in which `ContextFilter` keeps the context of a record."""

# What logging itself puts on a record: differs by Python version, so read off one. Other
# attributes of a record come from `extra`, or from somebody's filter or record factory.
_NATIVE = frozenset(
    {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "taskName"}
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a record tells, values still as they were given."""

    message: str
    """The formatted message; where its arguments do not fit, the message and the arguments."""
    fields: Mapping[str, object]
    """Fields of `log_context`, then those of the record's `extra`, which win."""
    error: errors.ErrorInfo | None
    """The exception, redacted."""
    span: SpanContext
    """Context of the span in which the record was made; invalid outside of any."""

    def trace_fields(self) -> dict[str, str]:
        """Return `trace_id` and `span_id` as hex; {} outside of any trace."""
        if not self.span.is_valid:
            return {}
        return {
            "trace_id": format_trace_id(self.span.trace_id),
            "span_id": format_span_id(self.span.span_id),
        }


def read(
    record: logging.LogRecord, *, policy: redaction.Policy = redaction.NOTHING_ALLOWED
) -> Seen:
    """Return what a record tells; `policy` says what the redaction lets pass."""
    given = vars(record)
    context, span = given.get(SNAPSHOT) or (current_fields(), get_current_span().get_span_context())
    fields: dict[str, object] = dict(context)
    # `extra` may have names that are no text.
    fields.update((key, given[key]) for key in given if key not in _NATIVE and key != SNAPSHOT)
    if record.stack_info:
        fields["code.stacktrace"] = record.stack_info
    message = hosts.clean(record, fields, policy=policy)
    if message is None:
        message = _message(record)
    return Seen(message, fields, errors.describe(record.exc_info, policy=policy), span)


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
    text = attempt(record.getMessage, None)
    if text is not None:
        return text
    converter = Converter()
    return f"{converter.convert(record.msg)} {converter.convert(record.args)}"
