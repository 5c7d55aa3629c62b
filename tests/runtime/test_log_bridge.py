"""The log bridge: every record once, whatever the host does to `logging`; never in its way."""

from __future__ import annotations

import configparser
import http.server
import io
import logging
import logging.config
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.trace import TracerProvider

from etl_telemetry import guard
from etl_telemetry.logs import log_context
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime import log_bridge, log_handler
from etl_telemetry.runtime.log_bridge import Bridge

FILE = __file__


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


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Give every test an unconfigured root logger, and put back what was there."""
    guard.reset_after_fork()
    root, call_handlers = logging.getLogger(), logging.Logger.callHandlers
    level, handlers = root.level, list(root.handlers)
    known = set(root.manager.loggerDict)
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    yield
    for name in set(root.manager.loggerDict) - known:
        del root.manager.loggerDict[name]
    root.handlers[:] = handlers
    root.setLevel(level)
    assert logging.Logger.callHandlers is call_handlers
    guard.reset_after_fork()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Return what arrives."""
    return Records(monkeypatch)


@pytest.fixture
def bridge(seen: Records) -> Iterator[Bridge]:
    """Attach a bridge for one test."""
    handler = Bridge()
    assert log_bridge.attach(handler)
    yield handler
    log_bridge.detach(handler)


def config(console: io.StringIO, *, propagate: bool) -> dict[str, Any]:
    """Return a project's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "stream": console, "formatter": "plain"}
        },
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {
            "app": {"handlers": [] if propagate else ["console"], "propagate": propagate},
        },
    }


# --- Exactly once -------------------------------------------------------------


@pytest.mark.parametrize("propagate", [True, False], ids=["propagating", "not propagating"])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_each_record_is_on_the_console_and_at_the_receiver_once(
    seen: Records,
    order: str,
    propagate: bool,  # noqa: FBT001
) -> None:
    """The configuration runs before or after set-up, loggers propagate or not."""
    console, handler = io.StringIO(), Bridge()
    if order != "after":
        logging.config.dictConfig(config(console, propagate=propagate))
    log_bridge.attach(handler)
    if order != "before":
        logging.config.dictConfig(config(console, propagate=propagate))
    logging.getLogger("app.load").info("one")
    logging.getLogger("elsewhere").info("two")
    log_bridge.detach(handler)
    logging.getLogger("app.load").info("three")
    assert console.getvalue().split() == ["one", "two", "three"]
    assert seen.bodies() == ["one", "two"]


def _file_config() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(
        "[loggers]\nkeys=root\n[handlers]\nkeys=console\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=INFO\nhandlers=console\n"
        "[handler_console]\nclass=StreamHandler\nargs=()\n"
    )
    logging.config.fileConfig(parser, disable_existing_loggers=False)


def _hijack() -> None:
    """Do what Celery's worker does by default (worker_hijack_root_logger)."""
    logging.getLogger().handlers = []
    logging.getLogger("app").handlers = []
    logging.basicConfig(level=logging.INFO)
    task = logging.getLogger("app.task")
    task.addHandler(logging.StreamHandler())
    task.propagate = 0  # type: ignore[assignment]


@pytest.mark.parametrize(
    "change",
    [lambda: logging.basicConfig(level=logging.INFO, force=True), _file_config, _hijack],
    ids=["basicConfig", "fileConfig", "hijack"],
)
def test_nothing_that_replaces_handlers_loses_the_bridge(
    seen: Records, bridge: Bridge, capsys: pytest.CaptureFixture[str], change: Callable[[], None]
) -> None:
    """No moment in which it must be attached again: it is in nobody's list of handlers."""
    change()
    for name in ("app", "app.task", "elsewhere"):
        logging.getLogger(name).info("from %s", name)
    assert seen.bodies() == ["from app", "from app.task", "from elsewhere"]
    assert capsys.readouterr().err.count("from ") == 3


def test_our_loggers_outlive_disable_existing_loggers(seen: Records, bridge: Bridge) -> None:
    """That is the default of `dictConfig`; the host's own loggers stay as it wants them."""
    names = ("etl_telemetry", "etl_telemetry.audit", "etl_telemetry_not_ours")
    ours, audit, theirs = (logging.getLogger(name) for name in names)
    ours.setLevel(logging.INFO)
    logging.config.dictConfig({"version": 1})
    try:
        assert (ours.disabled, audit.disabled, theirs.disabled) == (True, True, True)
        log_bridge.reattach()
        assert (ours.disabled, audit.disabled, theirs.disabled) == (False, False, True)
        audit.info("kept")
        assert seen.bodies() == ["kept"]
    finally:
        ours.setLevel(logging.NOTSET)
        for logger in logging.Logger.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False


def test_a_logger_that_stops_propagating_later_is_covered(seen: Records, bridge: Bridge) -> None:
    """Old loggers and new ones, without any hook having run in between."""
    old = logging.getLogger("old")
    for logger in (old, logging.getLogger("new")):
        logger.propagate = False
        logger.warning("from %s", logger.name)
    assert seen.bodies() == ["from old", "from new"]


def test_levels_and_filters_of_the_host_decide(seen: Records, bridge: Bridge) -> None:
    """What the host's loggers drop is dropped; the bridge has a level of its own beside."""
    logger = logging.getLogger("app")
    logger.setLevel(logging.INFO)
    logger.addFilter(lambda record: "secret" not in record.getMessage())
    logger.debug("below the logger's level")
    logger.info("a secret")
    bridge.setLevel(logging.WARNING)
    logger.info("below the bridge's level")
    bridge.addFilter(lambda record: record.getMessage() != "unwanted")
    logger.warning("unwanted")
    logger.warning("wanted")
    logger.disabled = True
    logger.warning("of a disabled logger")
    assert seen.bodies() == ["wanted"]


def test_a_handler_that_hands_a_record_on_does_not_double_it(seen: Records, bridge: Bridge) -> None:
    """Forwarding handlers pass the same record through a second logger."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger("collected").handle(record)
            logging.getLogger("collected").warning("about it")

    logging.getLogger("app").addHandler(Forward())
    logging.getLogger("app").warning("one")
    logging.getLogger("app").warning("two")
    assert seen.bodies() == ["about it", "one", "about it", "two"]


def test_what_celery_makes_of_the_console_is_not_a_second_record(
    seen: Records, bridge: Bridge
) -> None:
    """Its worker turns standard error into records, and so what console handlers write."""

    class Console(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger("celery.redirected").warning(record.getMessage())

    logging.getLogger("app").addHandler(Console())
    logging.getLogger("app").warning("once")
    logging.getLogger("celery.redirected").warning("printed")
    assert seen.bodies() == ["once", "printed"]


def test_fields_that_the_hosts_handlers_add_arrive(seen: Records, bridge: Bridge) -> None:
    """Celery's formatter puts the task's name on the record, filters put request ids there."""

    class Adding(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.task_name = "load"

    logging.getLogger("app").addHandler(Adding())
    logging.getLogger("app").warning("x")
    assert seen.attributes() == {"task_name": "load"}


def test_a_handler_of_the_host_that_raises_loses_nothing(seen: Records, bridge: Bridge) -> None:
    """Its error reaches who it would have reached, and the record arrives."""

    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    logging.getLogger("app").addHandler(Failing())
    with pytest.raises(OSError, match="disk full"):
        logging.getLogger("app").warning("x")
    assert seen.bodies() == ["x"]


# --- The host sees no difference ----------------------------------------------


def unconfigured() -> None:
    """Take pytest's own handlers from the root logger."""
    logging.getLogger().handlers[:] = []


def test_logging_still_looks_unconfigured(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a handler on the root logger, warnings would vanish and basicConfig() do nothing."""
    unconfigured()
    logging.getLogger("app").warning("by the last resort")
    assert capsys.readouterr().err == "by the last resort\n"
    logging.basicConfig(format="%(message)s")
    logging.getLogger("app").warning("by the console")
    assert capsys.readouterr().err == "by the console\n"


def test_the_stock_handler_does_hide_the_console(
    seen: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the test above guards against: this is why the bridge is in no list of handlers."""
    unconfigured()
    stock = LoggingHandler(logger_provider=seen.provider)
    logging.getLogger().addHandler(stock)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("app").warning("nowhere")
    logging.getLogger().removeHandler(stock)
    assert capsys.readouterr().err == ""


def test_the_callers_line_stays_right(seen: Records, bridge: Bridge) -> None:
    """Our frame in the call does not become the place of the log call."""
    logging.getLogger("app").warning("x")
    (one,) = seen.all()
    attributes = one.log_record.attributes or {}
    assert attributes["code.file.path"] == FILE
    assert attributes["code.function.name"] == "test_the_callers_line_stays_right"


# --- Attaching ----------------------------------------------------------------


def test_attaching_twice_and_detaching_twice_is_harmless(seen: Records) -> None:
    """The same handler, or another one in its place; the last one counts."""
    before = logging.Logger.callHandlers
    first, second = Bridge(), Bridge()
    assert log_bridge.attach(first)
    assert log_bridge.attach(first)
    assert log_bridge.attach(second)
    assert log_bridge.reattach()
    log_bridge.detach(first)
    logging.getLogger("app").warning("x")
    assert seen.bodies() == ["x"]
    log_bridge.detach(second)
    log_bridge.detach(second)
    assert logging.Logger.callHandlers is before
    assert not log_bridge.reattach()
    logging.getLogger("app").warning("y")
    assert seen.bodies() == []


def test_another_patch_on_top_is_respected(seen: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentry wraps the same method: whoever came first, both see each record once."""
    theirs: list[object] = []

    def patch() -> None:
        before = logging.Logger.callHandlers

        def patched(logger: logging.Logger, record: logging.LogRecord) -> None:
            theirs.append(record.msg)
            before(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", patched)

    handler = Bridge()
    patch()
    log_bridge.attach(handler)
    patch()
    logging.getLogger("app").warning("one")
    log_bridge.reattach()
    logging.getLogger("app").warning("two")
    assert seen.bodies() == ["one", "two"]
    assert theirs == ["one", "one", "two", "two"]
    log_bridge.detach(handler)
    logging.getLogger("app").warning("three")
    assert seen.bodies() == []
    monkeypatch.undo()


def test_a_replaced_method_is_wrapped_again(seen: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody puts back what was there before us: `reattach` mends it."""
    before = logging.Logger.callHandlers
    handler = Bridge()
    log_bridge.attach(handler)
    monkeypatch.setattr(logging.Logger, "callHandlers", before)
    logging.getLogger("app").warning("lost")
    assert log_bridge.reattach()
    logging.getLogger("app").warning("found")
    assert seen.bodies() == ["found"]
    log_bridge.detach(handler)
    monkeypatch.undo()
    logging.Logger.callHandlers = before  # type: ignore[method-assign]


def test_another_distribution_is_left_alone(
    seen: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its handler on the root logger exports the records: ours stands aside, and says so once."""
    stock = LoggingHandler(logger_provider=seen.provider)
    logging.getLogger().addHandler(stock)
    handler = Bridge()
    assert not log_bridge.attach(handler)
    assert not log_bridge.reattach()
    (said,) = seen.all()
    assert said.log_record.body == "log_bridge_not_attached"
    assert (said.log_record.attributes or {})["where"] == (
        "opentelemetry.instrumentation.logging.handler.LoggingHandler"
    )
    logging.getLogger("app").warning("once")
    assert seen.bodies() == ["once"]
    logging.getLogger().removeHandler(stock)
    assert log_bridge.reattach()
    logging.getLogger("app").warning("again")
    assert seen.bodies() == ["again"]
    logging.getLogger().addHandler(stock)
    assert not log_bridge.reattach()
    logging.getLogger("app").warning("theirs again")
    assert seen.bodies() == ["theirs again"]
    logging.getLogger().removeHandler(stock)
    log_bridge.detach(handler)
    stock.close()


# --- What arrives -------------------------------------------------------------


def test_a_whole_record(seen: Records, bridge: Bridge) -> None:
    """Severity, body, context, scope, place, thread, event and trace of one record."""
    logger = logging.getLogger("app.load")
    span = trace.SpanContext(trace_id=1, span_id=2, is_remote=False)
    before = time.time_ns()
    with trace.use_span(trace.NonRecordingSpan(span)), log_context(tenant="AA"):
        logger.warning("%d rows", 3, extra={"rows": {"read": 3}, "otel.event.name": "rows_read"})
    (one,) = seen.all()
    record = one.log_record
    attributes = dict(record.attributes or {})
    assert attributes.pop("code.line.number") > 0  # type: ignore[operator]
    uid = str(attributes.pop("log.record.uid"))
    assert (len(uid), int(uid[:16], 16)) == (32, record.observed_timestamp)
    assert attributes == {
        "tenant": "AA",
        "rows": {"read": 3},
        "code.file.path": FILE,
        "code.function.name": "test_a_whole_record",
        "thread.id": threading.get_ident(),
    }
    assert one.instrumentation_scope is not None
    assert (record.body, record.severity_text, record.severity_number) == (
        "3 rows", "WARN", SeverityNumber.WARN,
    )  # fmt: skip
    assert (record.trace_id, record.span_id, record.event_name) == (1, 2, "rows_read")
    assert one.instrumentation_scope.name == "app.load"
    assert before - 10**9 < (record.timestamp or 0) <= (record.observed_timestamp or 0)


def test_each_record_has_an_id_of_its_own(seen: Records, bridge: Bridge) -> None:
    """Equal records are two events; what an exporter sends again is one, by this id."""
    for _ in range(100):
        logging.getLogger("app").warning("the same")
    assert len({(one.log_record.attributes or {})["log.record.uid"] for one in seen.all()}) == 100


def test_levels_have_the_names_of_opentelemetry(
    seen: Records, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Critical is FATAL there; levels of one's own keep their name."""
    # As `logging.addLevelName`, which has no way back.
    monkeypatch.setitem(logging._levelToName, 35, "NOTICE")
    monkeypatch.setitem(logging._nameToLevel, "NOTICE", 35)
    logging.getLogger("app").critical("x")
    logging.getLogger("app").log(35, "x")
    assert [
        (one.log_record.severity_text, one.log_record.severity_number) for one in seen.all()
    ] == [("FATAL", SeverityNumber.FATAL), ("NOTICE", SeverityNumber.WARN4)]


def test_our_own_events_have_their_name(seen: Records, bridge: Bridge) -> None:
    """Messages of the catalogue are event names; only in our own loggers."""
    for name in ("etl_telemetry", "etl_telemetry.celery", "app"):
        logging.getLogger(name).warning("task_failed")
    logging.getLogger("etl_telemetry").warning("free text")
    names = [one.log_record.event_name for one in seen.all()]
    assert names == ["task_failed", "task_failed", None, None]


def test_an_exception_arrives_redacted(seen: Records, bridge: Bridge) -> None:
    """Type, message and traceback; the row that the database quotes does not."""
    error = ValueError("duplicate\nDETAIL:  Key (mail)=(ann@example.com) already exists.")
    try:
        raise error
    except ValueError:
        logging.getLogger("app").exception("failed")
    attributes = seen.attributes()
    stacktrace = str(attributes.pop("exception.stacktrace"))
    assert attributes == {
        "exception.type": "ValueError",
        "exception.message": "duplicate\nDETAIL: ?",
    }
    assert stacktrace.startswith("Traceback (most recent call last):\n")
    assert "ann@example.com" not in stacktrace


def test_secrets_and_query_values_stay(seen: Records, bridge: Bridge) -> None:
    """By the name of the field, at any depth, and in URLs; the allow-list opens them."""
    extra = {"password": "x", "deep": {"api_key": 1, "url": "http://h/?q=1"}}
    logging.getLogger("app").warning("GET /a?token=1", extra=extra)
    (one,) = seen.all()
    assert one.log_record.body == "GET /a?token=REDACTED"
    hidden = dict(one.log_record.attributes or {})
    assert (hidden["password"], hidden["deep"]) == (
        "REDACTED",
        {"api_key": "REDACTED", "url": "http://h/?q=REDACTED"},
    )
    other = Bridge(policy=Policy(allow=("password", "api_key", "url.query.q")))
    log_bridge.attach(other)
    logging.getLogger("app").warning("x", extra=extra)
    assert seen.attributes() == extra
    log_bridge.detach(other)
    log_bridge.attach(bridge)


def test_names_that_we_set_cannot_be_replaced(seen: Records, bridge: Bridge) -> None:
    """Where a record comes from is not up to its extra."""
    logging.getLogger("app").warning("x", extra={"code.file.path": "/etc", "thread.id": "t"})
    (one,) = seen.all()
    attributes = one.log_record.attributes or {}
    assert attributes["code.file.path"] == FILE
    assert attributes["thread.id"] == threading.get_ident()


# --- Hostile input ------------------------------------------------------------


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_what_had_to_change_is_counted_with_the_callers_line(seen: Records, bridge: Bridge) -> None:
    """Once per line of the application, for what was cut and for what could not be read."""
    for _ in range(3):
        logging.getLogger("app").warning("x", extra={"bad": Unprintable(), "long": "x" * 10**6})
    records = seen.all()
    told = [one.log_record.attributes or {} for one in records if one.log_record.body != "x"]
    assert guard.drops() == {"truncated": 3, "invalid_value": 3}
    assert [(one["reason"], str(one["caller"]).rpartition(":")[0]) for one in told] == [
        ("truncated", FILE),
        ("invalid_value", FILE),
    ]
    first = records[0].log_record.attributes or {}
    assert first["bad"] == "<unprintable Unprintable>"
    assert len(str(first["long"])) == 4_096


def test_more_fields_than_the_sdk_keeps_are_cut_before_it(seen: Records, bridge: Bridge) -> None:
    """Past its limit the SDK drops the oldest and logs for each one."""
    logging.getLogger("app").warning("x", extra={f"f{n}": n for n in range(500)})
    (one, told) = seen.all()
    assert one.dropped_attributes == 0
    attributes = one.log_record.attributes or {}
    assert len([key for key in attributes if key.startswith("f")]) == log_handler.MAX_FIELDS
    assert "code.file.path" in attributes
    assert told.log_record.body == "telemetry_dropped"


RESERVED = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
        st.binary(), st.characters(categories=["Cs"]), st.builds(Unprintable), st.builds(object),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)  # fmt: skip
NAMES = st.one_of(st.text().filter(lambda name: name not in RESERVED), st.integers(), st.none())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(NAMES, VALUES), st.text(), st.lists(VALUES, max_size=2))
def test_any_call_arrives_once_and_never_raises(
    seen: Records, bridge: Bridge, extra: dict[Any, Any], message: str, args: list[Any]
) -> None:
    """Any extra, message and arguments: one record, with every field, that OTLP can carry."""
    logger = logging.getLogger("app")
    logger.propagate = False  # pytest's own handlers raise on a wrong log call.
    logger.handlers[:] = [logging.NullHandler()]
    logger.warning(message, *args, extra=extra)
    arrived = [one for one in seen.all() if one.instrumentation_scope.name == "app"]  # type: ignore[union-attr]
    assert len(arrived) == 1
    encoded = encode_logs(arrived).resource_logs[0].scope_logs[0].log_records[0]
    sent = {pair.key for pair in encoded.attributes}
    surely = {
        key or "_" for key in extra
        if isinstance(key, str) and key.isascii() and "/" not in key
        and key not in {"event.name", "otel.event.name"}
    }  # fmt: skip
    assert surely <= sent


class Broken(LogRecordProcessor):
    def on_emit(self, log_record: Any) -> None:
        raise RuntimeError("broken")

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def test_an_error_below_is_absorbed_and_counted(seen: Records, bridge: Bridge) -> None:
    """The application's log call returns, and the count tells."""
    seen.provider.add_log_record_processor(Broken())
    logging.getLogger("app").warning("x")
    assert guard.drops()["internal_error"] >= 1


def test_a_record_without_a_name_or_time_arrives(seen: Records, bridge: Bridge) -> None:
    """`makeLogRecord` and other processes give incomplete records."""
    logger = logging.getLogger("app")
    logger.handle(logging.makeLogRecord({"msg": "x", "levelno": 30, "created": -1.0}))
    (one,) = seen.all()
    assert one.log_record.body == "x"
    assert (one.log_record.timestamp or 0) > 10**18


# --- Loops, recursion, locks --------------------------------------------------


def test_what_is_logged_while_exporting_is_dropped(seen: Records, bridge: Bridge) -> None:
    """Exporters run with instrumentation suppressed, their HTTP clients log inside of that."""
    with suppress_instrumentation():
        logging.getLogger("urllib3.connectionpool").warning("POST /v1/logs")
    logging.getLogger("opentelemetry.sdk").warning("Queue full")
    logging.getLogger("opentelemetry").warning("x")
    logging.getLogger("opentelemetry_of_mine").warning("mine")
    assert seen.bodies() == ["mine"]


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
