"""From a record of `logging` to a log record of OpenTelemetry."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import (
    Logger,
    LogRecord,
    NoOpLogger,
    NoOpLoggerProvider,
    get_logger_provider,
)
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, get_current
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from etl_telemetry import catalogue, guard, redaction
from etl_telemetry.catalogue import DropReason
from etl_telemetry.logs import records
from etl_telemetry.logs.aloud import SPANS_ONLY
from etl_telemetry.logs.plain import Converter, Plain, encodable

MAX_FIELDS = 100
"""Fields of one record; the SDK keeps 128 attributes, and logs for each one past that."""
_MAX_LOGGERS = 1_000
_INT64 = 2**63
_SEVERITY = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_THREAD_ID = "thread.id"
_SUPPRESSED = "suppress_instrumentation"  # The older key, which instrumentations still set.
_EVENT_NAMES = (catalogue.OTEL_EVENT_NAME, "event.name")
_OURS = f"{catalogue.SCOPE}."
_BRING_THEIR_OWN = frozenset({catalogue.AUDIT_SCOPE, f"{catalogue.SCOPE}.pipelines"})
"""Loggers whose records may bring a `log.record.uid`; in `log_context` it is a field of anybody."""


class Bridge(LoggingHandler):
    """Hand records to the API's logger provider; never raise, block, recurse, or touch a span.

    Against the handler it extends, it drops records of OpenTelemetry itself and
    all that is logged while instrumentation is suppressed, which is how exporters
    and their HTTP clients run: the stock handler exports what its own export
    logged, for ever (opentelemetry-python#4688). It adds the fields of
    `log_context`, keeps values that OTLP cannot carry from failing a whole batch,
    and lets no secret, query string, task argument or SQL value through.

    It has no lock, unlike other handlers: what it hands records to is thread-safe,
    and a lock could be held during a fork, or by a thread whose formatter logs.
    """

    def __init__(
        self,
        *,
        level: int = logging.NOTSET,
        policy: redaction.Policy = redaction.NOTHING_ALLOWED,
    ) -> None:
        # The stock handler keeps a provider; ours asks for the API's at the first record.
        super().__init__(level=level, logger_provider=NoOpLoggerProvider())
        self._policy = policy
        self._loggers: dict[str, Logger] = {}

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Make none, see above."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record if the filters of this handler let it pass."""
        kept: Any = self.filter(record)
        if kept:
            # Since Python 3.12 a filter may return another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    # Hot path: runs for every record (tests/benchmarks/bench_logs.py).
    def emit(self, record: logging.LogRecord) -> None:
        """Translate the record and hand it over."""
        context = get_current()
        silent = context.get(_SUPPRESSED) or context.get(_SUPPRESS_INSTRUMENTATION_KEY)
        if silent and silent is not SPANS_ONLY:
            return
        if self._is_emitting.get():  # Something below logs about our own call.
            return
        converter = Converter(policy=self._policy)
        with guard.absorb("log bridge"):
            token = self._is_emitting.set(True)
            try:
                logger = self._loggers.get(record.name) or self._logger(record.name)
                if logger.enabled(severity_number=std_to_otel(record.levelno)):
                    logger.emit(self._record(record, converter, context))
            finally:
                self._is_emitting.reset(token)
        # Afterwards, so that what the guard logs about it passes the bridge too.
        if converter.cut:
            guard.drop(DropReason.TRUNCATED, detail="a log record was too long or too deep")
        if converter.changed:
            guard.drop(DropReason.INVALID_VALUE, detail="a value in a log record cannot be read")

    def flush(self) -> None:
        """Do nothing: the lifecycle flushes, within its deadline.

        The stock handler starts a thread, which fails at interpreter shutdown
        since Python 3.12, where `logging.shutdown` flushes every handler.
        """

    def _logger(self, name: str) -> Logger:
        """Remember one logger per name: our provider's outlive every fork and rebuild."""
        if len(self._loggers) >= _MAX_LOGGERS:
            self._loggers.clear()
        text = encodable(str(name))  # makeLogRecord() leaves None.
        dropped = f"{text}.".startswith("opentelemetry.")
        made = NoOpLogger(text) if dropped else get_logger_provider().get_logger(text)
        self._loggers[name] = made
        return made

    def _record(
        self, record: logging.LogRecord, converter: Converter, context: Context
    ) -> LogRecord:
        seen = records.read(record, policy=self._policy)
        attributes = _attributes(seen.fields, converter) if seen.fields else {}
        event_name = _event_name(record, attributes)
        attributes[catalogue.CODE_FILE_PATH] = encodable(record.pathname)
        attributes[catalogue.CODE_FUNCTION_NAME] = record.funcName
        attributes[catalogue.CODE_LINE_NUMBER] = record.lineno
        attributes[_THREAD_ID] = record.thread
        if seen.error is not None:
            attributes[catalogue.EXCEPTION_TYPE] = seen.error.type
            attributes[catalogue.EXCEPTION_MESSAGE] = seen.error.message
            attributes[catalogue.EXCEPTION_STACKTRACE] = seen.error.stacktrace
        if records.SNAPSHOT in vars(record):  # Made by another thread or process.
            span = trace.NonRecordingSpan(records.span_of(record))
            context = trace.set_span_in_context(span, context)
        now = time_ns()
        # By it a receiver knows a record that was sent twice: an exporter that got no answer sends
        # its batch again. Time first, since ids in order are cheap to index. What is kept in a
        # table brings its own, so that it is one document whichever process tells it.
        if record.name not in _BRING_THEIR_OWN or catalogue.LOG_RECORD_UID not in vars(record):
            attributes[catalogue.LOG_RECORD_UID] = f"{now:016x}{os.urandom(8).hex()}"
        made = int(record.created * 1e9)
        return LogRecord(
            timestamp=made if 0 < made < _INT64 else now,
            observed_timestamp=now,
            context=context,
            severity_text=_SEVERITY.get(record.levelname) or encodable(str(record.levelname)),
            severity_number=std_to_otel(record.levelno),
            body=converter.text(seen.message, limit=records.MAX_MESSAGE),
            attributes=attributes,
            event_name=event_name,
        )


def _attributes(fields: Mapping[str, object], converter: Converter) -> dict[str, Plain]:
    attributes: dict[str, Plain] = {}
    for key, value in fields.items():
        if len(attributes) >= MAX_FIELDS:
            converter.cut = True
            break
        name, plain = converter.field(key, value)
        attributes[name] = plain
    return attributes


def _event_name(record: logging.LogRecord, attributes: dict[str, Plain]) -> str | None:
    """Return the event's name: from `extra`, or the message of our own events."""
    if attributes:
        names = [attributes.pop(key, None) for key in _EVENT_NAMES]
        for name in names:
            if isinstance(name, str) and name:
                return name
    # Nobody else's messages are looked up: they may be anything, unhashable objects too.
    ours = f"{record.name}.".startswith(_OURS)
    return record.msg if ours and record.msg in catalogue.LOG_EVENTS else None
