"""From a record of `logging` to a log record of OpenTelemetry."""

from __future__ import annotations

import logging
from time import time_ns

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, NoOpLoggerProvider, get_logger_provider
from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from etl_telemetry import catalogue, guard, redaction
from etl_telemetry.catalogue import DropReason
from etl_telemetry.logs import records
from etl_telemetry.logs.plain import Converter, Plain, encodable

MAX_FIELDS = 100
"""Fields of one record; the SDK keeps 128 attributes, and logs for each one past that."""
_MAX_LOGGERS = 1_000
_INT64 = 2**63
_SEVERITY = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_EVENT_NAMES = (catalogue.OTEL_EVENT_NAME, "event.name")
_OURS = f"{catalogue.SCOPE}."


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
        kept = self.filter(record)
        if kept:
            # Since Python 3.12 a filter may return another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Translate the record and hand it over."""
        name = str(record.name)  # makeLogRecord() leaves None.
        if f"{name}.".startswith("opentelemetry.") or not is_instrumentation_enabled():
            return
        if self._is_emitting.get():  # Something below logs about our own call.
            return
        converter = Converter(policy=self._policy)
        with guard.absorb("log bridge"):
            token = self._is_emitting.set(True)
            try:
                logger = self._loggers.get(name) or self._logger(name)
                if logger.enabled(severity_number=std_to_otel(record.levelno)):
                    logger.emit(self._record(record, converter))
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
        logger = self._loggers[name] = get_logger_provider().get_logger(encodable(name))
        return logger

    def _record(self, record: logging.LogRecord, converter: Converter) -> LogRecord:
        seen = records.read(record, policy=self._policy)
        attributes = _attributes(seen, converter)
        event_name = _event_name(record, attributes)
        attributes.update(_origin(record))
        if seen.error is not None:
            attributes[catalogue.EXCEPTION_TYPE] = seen.error.type
            attributes[catalogue.EXCEPTION_MESSAGE] = seen.error.message
            attributes[catalogue.EXCEPTION_STACKTRACE] = seen.error.stacktrace
        now = time_ns()
        made = int(record.created * 1e9)
        return LogRecord(
            timestamp=made if 0 < made < _INT64 else now,
            observed_timestamp=now,
            context=_context(record, seen),
            severity_text=encodable(_SEVERITY.get(record.levelname, str(record.levelname))),
            severity_number=std_to_otel(record.levelno),
            body=converter.text(seen.message, limit=records.MAX_MESSAGE),
            attributes=attributes,
            event_name=event_name,
        )


def _attributes(seen: records.Seen, converter: Converter) -> dict[str, Plain]:
    attributes: dict[str, Plain] = {}
    for key, value in seen.fields.items():
        if len(attributes) >= MAX_FIELDS:
            converter.cut = True
            break
        name, plain = converter.field(key, value)
        attributes[name] = plain
    return attributes


def _event_name(record: logging.LogRecord, attributes: dict[str, Plain]) -> str | None:
    """Return the event's name: from `extra`, or the message of our own events."""
    names = [attributes.pop(key, None) for key in _EVENT_NAMES]
    for name in names:
        if isinstance(name, str) and name:
            return name
    ours = f"{record.name}.".startswith(_OURS)
    return record.msg if ours and record.msg in catalogue.LOG_EVENTS else None


def _origin(record: logging.LogRecord) -> dict[str, Plain]:
    origin: dict[str, Plain] = {
        catalogue.CODE_FILE_PATH: encodable(record.pathname),
        catalogue.CODE_FUNCTION_NAME: record.funcName,
        catalogue.CODE_LINE_NUMBER: record.lineno,
        "thread.id": record.thread,
        "thread.name": record.threadName,
    }
    return {key: value for key, value in origin.items() if value is not None}


def _context(record: logging.LogRecord, seen: records.Seen) -> Context:
    """Return the current context, or that of the thread that made the record."""
    if records.SNAPSHOT not in vars(record):
        return get_current()
    return trace.set_span_in_context(trace.NonRecordingSpan(seen.span))
