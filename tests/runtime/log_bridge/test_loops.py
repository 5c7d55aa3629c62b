"""No loop, no recursion, no deadlock, nothing that grows."""

from __future__ import annotations

import http.server
import logging
import logging.config
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
)
from opentelemetry.sdk.trace import TracerProvider

from etl_telemetry.logs.aloud import SPANS_ONLY
from etl_telemetry.runtime import log_bridge, log_handler
from etl_telemetry.runtime.log_bridge import Bridge
from support.bridged import Records, unconfigured


def test_what_is_logged_while_exporting_is_dropped(seen: Records, bridge: Bridge) -> None:
    """Exporters run with instrumentation suppressed, their HTTP clients log inside of that."""
    with suppress_instrumentation():
        logging.getLogger("urllib3.connectionpool").warning("POST /v1/logs")
    logging.getLogger("opentelemetry.sdk").warning("Queue full")
    logging.getLogger("opentelemetry").warning("x")
    logging.getLogger("opentelemetry_of_mine").warning("mine")
    assert seen.bodies() == ["mine"]


def test_what_is_silent_for_spans_only_is_exported(seen: Records, bridge: Bridge) -> None:
    """A result backend asks its database without spans; what it warns of must be seen."""
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, SPANS_ONLY))
    logging.getLogger("celery.backends").warning("retrying")
    with suppress_instrumentation():
        logging.getLogger("urllib3.connectionpool").warning("POST /v1/logs")
    context.detach(token)
    assert seen.bodies() == ["retrying"]


class Counting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[http.server.ThreadingHTTPServer]:
    """Run a receiver that only counts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.posts = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _exporting(collector: http.server.ThreadingHTTPServer, provider: LoggerProvider) -> None:
    url = f"http://127.0.0.1:{collector.server_port}/v1/logs"
    exporter = OTLPLogExporter(endpoint=url)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=20))


def _posts(collector: http.server.ThreadingHTTPServer, at_least: int) -> int:
    """Wait for so many, and then for what may follow."""
    end = time.monotonic() + 30
    while collector.posts < at_least and time.monotonic() < end:  # type: ignore[attr-defined]
        time.sleep(0.01)
    time.sleep(0.4)
    return int(collector.posts)  # type: ignore[attr-defined]


def test_the_stock_handler_exports_its_own_exports(
    collector: http.server.ThreadingHTTPServer,
) -> None:
    """The trap (25): one debug record, and the HTTP client's debug lines go round for ever."""
    provider = LoggerProvider(shutdown_on_exit=False)
    _exporting(collector, provider)
    stock = LoggingHandler(logger_provider=provider)
    logging.getLogger().addHandler(stock)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("app").debug("one")
    assert _posts(collector, 5) >= 5
    logging.getLogger().removeHandler(stock)
    provider.shutdown()


def test_the_bridge_exports_a_debug_record_once(
    seen: Records, bridge: Bridge, collector: http.server.ThreadingHTTPServer
) -> None:
    """The fix: one record, one POST."""
    _exporting(collector, seen.provider)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("app").debug("one")
    assert _posts(collector, 1) == 1
    seen.provider.shutdown()


class Chatty(LogRecordProcessor):
    """A processor that logs about every record, as careless ones do."""

    def on_emit(self, log_record: Any) -> None:
        logging.getLogger("app.processor").warning("got one")

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def test_a_processor_that_logs_does_not_recurse(
    seen: Records, bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line is on the console, and not sent; the stock handler prints a warning of its own."""
    unconfigured()
    seen.provider.add_log_record_processor(Chatty())
    logging.getLogger("app").warning("one")
    assert seen.bodies() == ["one"]
    assert capsys.readouterr().err == "one\ngot one\n"


def test_a_log_call_under_the_spans_lock_returns(seen: Records, bridge: Bridge) -> None:
    """The SDK logs while it holds the span's lock (trap 2): the bridge must not touch the span."""
    span = TracerProvider().get_tracer("t").start_span("s")
    done = threading.Event()

    def work() -> None:
        with trace.use_span(span), span._lock:  # type: ignore[attr-defined]
            logging.getLogger("app").warning("x", extra={"bad": object()})
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(30)
    (one,) = seen.all()
    assert one.log_record.span_id == span.get_span_context().span_id


def test_two_threads_that_log_from_formatters_do_not_deadlock(
    seen: Records, bridge: Bridge
) -> None:
    """The bridge has no lock, so no order of locks can go wrong around it."""
    assert bridge.lock is None
    inside = threading.Barrier(2)

    class Waiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg == "outer":
                inside.wait(30)
                logging.getLogger("app.inner").warning("inner")

    logging.getLogger("a").addHandler(Waiting())
    logging.getLogger("b").addHandler(Waiting())
    threads = [
        threading.Thread(target=logging.getLogger(name).warning, args=("outer",), daemon=True)
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(map(str, seen.bodies())) == ["inner", "inner", "outer", "outer"]


def test_flush_starts_no_thread(bridge: Bridge) -> None:
    """`logging.shutdown` flushes every handler when no thread can be started any more."""
    before = threading.active_count()
    bridge.flush()
    assert threading.active_count() == before


def test_loggers_are_remembered_within_a_bound(
    seen: Records, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look-up per name, and no growth with names that are made up at run time."""
    asked: list[str] = []
    get = seen.provider.get_logger
    monkeypatch.setattr(seen.provider, "get_logger", lambda name: asked.append(name) or get(name))
    monkeypatch.setattr(log_handler, "_MAX_LOGGERS", 2)
    for name in ("a", "a", "b", "c", "c"):
        logging.getLogger(name).warning("x")
    assert asked == ["a", "b", "c"]
    assert len(bridge._loggers) <= 2
    assert len(seen.bodies()) == 5


def test_no_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock instrumentation has variables of its own; ours is configured by `Config` only."""
    read: list[str] = []
    monkeypatch.setattr(os, "getenv", lambda name, default=None: read.append(name))
    Bridge().close()
    assert read == []


def test_our_events_below_the_hosts_level_go_to_the_receiver_only(seen: Records) -> None:
    """Where set-up gave our logger its level, a console that asked for less stays quiet."""
    console: list[str] = []

    class Console(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.append(f"{record.name} {record.levelname}")

    names = ("etl_telemetry.celery", "etl_telemetry.audit", "app")
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handler, bridge = Console(), Bridge()
    before = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.WARNING)
    log_bridge.attach(bridge, level_is_ours=True)
    try:
        for logger, _ in levels:
            logger.setLevel(logging.INFO)
            logger.info("quiet")
            logger.warning("loud")
    finally:
        log_bridge.detach(bridge)
        logging.root.removeHandler(handler)
        logging.root.setLevel(before)
        for logger, level in levels:
            logger.setLevel(level)
    assert len(seen.all()) == 6
    assert console == [
        "etl_telemetry.celery WARNING",
        "etl_telemetry.audit INFO", "etl_telemetry.audit WARNING",
        "app INFO", "app WARNING",
    ]  # fmt: skip
