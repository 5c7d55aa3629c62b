"""Formatters: one JSON object a line for machines, one line of text for people."""

from __future__ import annotations

import datetime as dt
import json
import logging

from etl_telemetry import redaction
from etl_telemetry.catalogue import LOG_FIELDS
from etl_telemetry.logs import records
from etl_telemetry.logs.plain import Converter, Plain, encodable

_RESERVED = frozenset(LOG_FIELDS)


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON, whatever its values are.

    Fields: `etl_telemetry.catalogue.LOG_FIELDS`, then the fields of `log_context`
    and of the call's `extra` beside them; an extra that has the name of a fixed
    field becomes `extra_<name>`. `trace_id`, `span_id` and `exception` are there
    where the record has them. NaN and infinities become null, since Elasticsearch
    refuses them.

    >>> formatter = JsonFormatter(environment="production", service="etl", version="1.4")
    >>> record = logging.makeLogRecord({"msg": "rows loaded", "levelname": "INFO", "rows": 3})
    >>> line = json.loads(formatter.format(record))
    >>> line["message"], line["service"], line["rows"]
    ('rows loaded', 'etl', 3)
    """

    def __init__(
        self,
        *,
        environment: str = "",
        service: str = "",
        version: str = "",
        allow: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._static = {"environment": environment, "service": service, "version": version}
        self._policy = redaction.Policy(allow=allow)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        converter = Converter(finite=True, policy=self._policy)
        seen = records.read(record, policy=self._policy)
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, Plain] = {
            "timestamp": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": converter.text(seen.message, limit=records.MAX_MESSAGE),
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
            "process_id": record.process,
            "thread_id": record.thread,
            **self._static,
            **records.trace_fields(record),
        }
        for key, value in seen.fields.items():
            name, plain = converter.field(key, value)
            line[f"extra_{name}" if name in _RESERVED else name] = plain
        if seen.error is not None:
            line["exception"] = {
                "type": seen.error.type,
                "message": seen.error.message,
                "traceback": list(seen.error.stacktrace.splitlines()),
            }
        return json.dumps(line, allow_nan=False, default=repr)


class TextFormatter(logging.Formatter):
    """Format a record for people: level, time, module, process, thread, message, then its fields.

    Nothing is redacted but secrets: this is the console of a developer.

    >>> formatter = TextFormatter()
    >>> record = logging.makeLogRecord({"msg": "rows loaded", "levelname": "INFO", "rows": 3})
    >>> formatter.format(record).endswith("rows loaded rows=3")
    True
    """

    def __init__(self) -> None:
        super().__init__("{levelname} {asctime} {module} {process} {thread} {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text: one line, and the traceback of an exception below it."""
        converter = Converter()
        seen = records.read(record)
        record.message = encodable(seen.message)
        record.asctime = self.formatTime(record)
        pairs = [converter.field(key, value) for key, value in seen.fields.items()]
        shown = [
            f"{name}={_word(plain)}"
            for name, plain in (*pairs, *records.trace_fields(record).items())
        ]
        lines = [" ".join([self.formatMessage(record), *shown])]
        if seen.error is not None:
            lines.append(seen.error.stacktrace.rstrip("\n"))
        return "\n".join(lines)


def _word(value: Plain) -> str:
    """Return a value as one word: quoted where it has spaces, so that fields can be told apart."""
    if isinstance(value, str) and value and not any(mark in value for mark in ' ="\n'):
        return value
    return json.dumps(value, ensure_ascii=False, default=repr)
