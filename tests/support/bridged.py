"""What arrives at a provider of log records behind the bridge."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)

from etl_telemetry.runtime import log_handler


class Records:
    """What arrived at the provider."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exporter = InMemoryLogRecordExporter()
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))
        monkeypatch.setattr(log_handler, "get_logger_provider", lambda: self.provider)

    def all(self) -> list[ReadableLogRecord]:
        """Return them, and forget them."""
        found = list(self.exporter.get_finished_logs())
        self.exporter.clear()
        return found

    def bodies(self) -> list[object]:
        """Return what they say, and forget them."""
        return [one.log_record.body for one in self.all()]

    def attributes(self) -> dict[str, object]:
        """Return the attributes of the only one, without its id and where it came from."""
        (one,) = self.all()
        return {
            key: value
            for key, value in (one.log_record.attributes or {}).items()
            if not key.startswith(("code.", "thread.", "log.record."))
        }


def unconfigured() -> None:
    """Take pytest's own handlers from the root logger."""
    logging.getLogger().handlers[:] = []
