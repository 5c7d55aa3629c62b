"""What arrives of a record, however hostile what it was made of."""

from __future__ import annotations

import logging
import logging.config
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LogRecordProcessor

from etl_telemetry import guard
from etl_telemetry.logs import log_context
from etl_telemetry.redaction import Policy
from etl_telemetry.runtime import log_bridge, log_handler
from etl_telemetry.runtime.log_bridge import Bridge
from support.bridged import Records

FILE = __file__


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


def ids(seen: Records) -> list[object]:
    """Return the ids of all records."""
    return [(one.log_record.attributes or {})["log.record.uid"] for one in seen.all()]


@pytest.mark.parametrize("name", ["app", "etl_telemetry.pipelines", "etl_telemetry.audit"])
def test_each_record_has_an_id_of_its_own(seen: Records, bridge: Bridge, name: str) -> None:
    """Equal records are two events, whatever their context says; what is sent again is one."""
    with log_context(**{"log.record.uid": "mine"}):
        for _ in range(100):
            logging.getLogger(name).warning("the same")
    assert len(set(ids(seen))) == 100


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [("app", False), ("etl_telemetry.pipelines", True), ("etl_telemetry.audit", True)],
)
def test_only_what_is_kept_in_a_table_brings_its_id(
    seen: Records, bridge: Bridge, name: str, *, is_kept: bool
) -> None:
    """Elsewhere `log.record.uid` in `extra` may be anything, and the same each time."""
    logging.getLogger(name).warning("told", extra={"log.record.uid": "of the row"})
    assert (ids(seen) == ["of the row"]) is is_kept


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
