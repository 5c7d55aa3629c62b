"""Measure what one log record costs through our bridge, side by side with the stock handler.

Both hand over to the same SDK provider with a processor that does nothing, in turn, so that a busy
machine slows both. Also measured: a record without any telemetry, and one line of JSON against a
bare `json.dumps` of the same facts. Written to docs/benchmarks/logs.json.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord

from etl_telemetry.logs import JsonFormatter, log_context
from etl_telemetry.runtime import log_bridge, log_handler

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "logs.json"
ROUNDS, CALLS = 15, 2_000


class _Accepting(LogRecordProcessor):
    """Take every record at once: neither queue nor network is what is measured."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None: ...

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def _seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - begin) / CALLS


def _logger(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.NullHandler())
    return logger


def _failed(logger: logging.Logger) -> Callable[[], None]:
    def call() -> None:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logger.exception("failed")

    return call


def main() -> None:
    """Measure, print and write."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(_Accepting())
    log_handler.get_logger_provider = lambda: provider
    bridge = log_bridge.Bridge()
    plain, ours, stock = _logger("bench.plain"), _logger("bench.ours"), _logger("bench.stock")
    stock.addHandler(LoggingHandler(logger_provider=provider, log_code_attributes=True))
    extra = {"rows": 3, "source": "flights.csv", "carriers": ["AA", "UA"]}
    calls: dict[str, Callable[[logging.Logger], Callable[[], None]]] = {
        "a message": lambda logger: lambda: logger.info("loaded %d rows", 3),
        "a message with three extras": lambda logger: lambda: logger.info("loaded", extra=extra),
        "an exception": _failed,
    }
    results: dict[str, dict[str, float]] = {}
    for name, call in calls.items():
        times: dict[str, list[float]] = {"plain": [], "ours": [], "stock": []}
        for _ in range(ROUNDS):
            times["plain"].append(_seconds(call(plain)))
            times["stock"].append(_seconds(call(stock)))
            log_bridge.attach(bridge)
            times["ours"].append(_seconds(call(ours)))
            log_bridge.detach(bridge)
        median = {key: statistics.median(values) * 1e6 for key, values in times.items()}
        results[name] = {
            "without_us": round(median["plain"], 2),
            "ours_us": round(median["ours"], 2),
            "stock_us": round(median["stock"], 2),
            "ratio": round(median["ours"] / median["stock"], 3),
        }
    report = {
        "command": "nox -s bench",
        "python": sys.version.split()[0],
        "calls": ROUNDS * CALLS,
        "results": {**results, "one line of JSON": _json_line()},
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _json_line() -> dict[str, float]:
    record = logging.makeLogRecord({"msg": "loaded", "name": "apps", "rows": 3, "source": "a.csv"})
    formatter, facts = JsonFormatter(), {key: str(value) for key, value in vars(record).items()}
    with log_context(tenant="AA"):
        ours = statistics.median(_seconds(lambda: formatter.format(record)) for _ in range(ROUNDS))
    bare = statistics.median(_seconds(lambda: json.dumps(facts)) for _ in range(ROUNDS))
    return {"ours_us": round(ours * 1e6, 2), "json_dumps_us": round(bare * 1e6, 2)}


if __name__ == "__main__":
    main()
