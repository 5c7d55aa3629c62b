"""Logger provider that stays the same while SDK objects come and go (see `traces`)."""

from __future__ import annotations

from typing import Any

from opentelemetry._logs import Logger, LoggerProvider, LogRecord, NoOpLogger
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord

from etl_telemetry.runtime.current import Current, Queue


class DelegatingLoggerProvider(LoggerProvider):
    """Forward to the SDK logger provider of the current process."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: object = None,
    ) -> Logger:
        """Return a logger that outlives the SDK objects behind it."""
        return DelegatingLogger(self._current, name, version, schema_url, attributes)


class DelegatingLogger(Logger):
    """Forward to the SDK logger of the current process; look it up again after a rebuild."""

    def __init__(
        self,
        current: Current,
        name: str,
        version: str | None,
        schema_url: str | None,
        attributes: object,
    ) -> None:
        super().__init__(name, version, schema_url, attributes)  # type: ignore[arg-type]
        self._current = current
        self._scope = (name, version, schema_url, attributes)
        self._bound_to: object = self  # Like no signals: bind at the first record.
        self._real: Logger = NoOpLogger(name)

    def emit(self, record: LogRecord | None = None, **fields: Any) -> None:
        """Emit one record with the SDK logger of this process."""
        self._logger().emit(record, **fields)  # type: ignore[arg-type]

    def enabled(self, **fields: Any) -> bool:
        """Tell whether a record would be taken: not after shutdown, nor where logs are off."""
        return self._logger().enabled(**fields)

    def _logger(self) -> Logger:
        if self._current.signals is not self._bound_to:
            signals = self._current.get()
            provider = None if signals is None else signals.logs
            self._real = NoOpLogger("") if provider is None else provider.get_logger(*self._scope)  # type: ignore[arg-type]
            self._bound_to = signals
        return self._real


class LogOutlet(LogRecordProcessor):
    """Queue every log record."""

    def __init__(self, way: Queue[ReadableLogRecord]) -> None:
        self._add = way.add

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a read-only view of the record."""
        self._add(
            ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource,  # type: ignore[arg-type]
                instrumentation_scope=log_record.instrumentation_scope,
                limits=log_record.limits,
            )
        )

    def shutdown(self) -> None:
        """Do nothing: the queue is closed by the lifecycle, under its deadline."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Do nothing: the queue is flushed by the lifecycle, under its deadline."""
        return True
