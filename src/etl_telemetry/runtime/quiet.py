"""Keep a Collector that is down from filling the application's logs."""

from __future__ import annotations

import logging
import time

_LOGGERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
_PERIOD = 60.0


class OncePerMinute(logging.Filter):
    """Let one record a minute through (trap 26: a failing batch writes four)."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        """Tell whether this is the first record of its minute."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _PERIOD
        return True


def quieten_exporters() -> None:
    """Put the filter on the exporters' loggers, all sharing one minute; once."""
    shared = OncePerMinute()
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, OncePerMinute) for f in logger.filters):
            logger.addFilter(shared)
