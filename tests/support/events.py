"""The log records of this library, as a handler sees them while they are written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry import trace

from etl_telemetry.logs import records


@dataclass(frozen=True)
class Event:
    """One log record, with its context at the time."""

    name: str
    level: str
    fields: dict[str, object]
    trace_id: int = field(default=0, compare=False)
    span_id: int = field(default=0, compare=False)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def emit(self, record: logging.LogRecord) -> None:
        seen = records.read(record)
        span = trace.get_current_span().get_span_context()
        self.events.append(
            Event(seen.message, record.levelname, dict(seen.fields), span.trace_id, span.span_id)
        )


@contextmanager
def kept(logger: str = "etl_telemetry", level: int = logging.DEBUG) -> Iterator[list[Event]]:
    """Keep what a logger and those below it write inside of the block."""
    log = logging.getLogger(logger)
    keeper, before = _Keeper(), log.level
    log.addHandler(keeper)
    log.setLevel(level)
    try:
        yield keeper.events
    finally:
        log.removeHandler(keeper)
        log.setLevel(before)
