"""What a record tells: message, fields, exception, and what Django's and Celery's records hide."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace

from etl_telemetry.logs import ContextFilter, JsonFormatter, errors, log_context, records
from etl_telemetry.logs.hosts import TASK_ARGUMENTS
from etl_telemetry.redaction import NOTHING_ALLOWED, Policy

SPAN = trace.SpanContext(trace_id=0xA, span_id=0xB, is_remote=False)


def record(
    message: object, *args: object, name: str = "apps", extra: Mapping[str, object] | None = None
) -> logging.LogRecord:
    """Make a record as a call of the logger would."""
    logger = logging.Logger(name)  # noqa: LOG001 - its own, not registered
    return logger.makeRecord(name, logging.INFO, "/a.py", 1, message, args, None, "load", extra)


def fields(message: object, *args: object, **options: Any) -> dict[str, object]:
    """Return the fields that are read from a record."""
    return dict(records.read(record(message, *args, **options)).fields)


def test_fields_are_those_of_the_context_and_of_the_call() -> None:
    """The call's own win, and what logging puts on a record is no field."""
    with log_context(tenant="AA", rows=1):
        assert fields("x", extra={"rows": 2, 3: 4}) == {"tenant": "AA", "rows": 2, 3: 4}  # type: ignore[dict-item]


def test_fields_of_filters_and_factories_are_read() -> None:
    """Other people's attributes of a record are fields too."""
    one = record("x")
    one.request_id = "r1"
    assert dict(records.read(one).fields) == {"request_id": "r1"}


def test_the_call_stack_is_told_where_it_was_asked_for() -> None:
    """`stack_info=True` becomes the attribute of the semantic conventions."""
    one = record("x")
    one.stack_info = "Stack (most recent call last): ..."
    assert dict(records.read(one).fields) == {
        "code.stacktrace": "Stack (most recent call last): ..."
    }


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("%d rows", (3,), "3 rows"),
        ("%d rows", ("x",), "%d rows ['x']"),
        ("%s %s", (1,), "%s %s [1]"),
        (ValueError("x"), (), "x"),
        ("100%", (), "100%"),
    ],
)
def test_a_wrong_message_is_told_with_its_arguments(
    message: object, args: tuple[object, ...], expected: str
) -> None:
    """A mistake in a log call loses nothing: format and arguments stand beside each other."""
    assert records.read(record(message, *args)).message == expected


def test_the_trace_of_the_caller_is_read() -> None:
    """Inside a span its ids are told, outside of any nothing is."""
    assert records.trace_fields(record("x")) == {}
    with trace.use_span(trace.NonRecordingSpan(SPAN)):
        assert records.trace_fields(record("x")) == {
            "trace_id": f"{0xA:032x}",
            "span_id": f"{0xB:016x}",
        }


def test_a_queue_handler_keeps_the_context_with_the_filter() -> None:
    """Formatted by another thread, a record shows the context of the one that made it."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(waiting)  # type: ignore[arg-type]
    handler.addFilter(ContextFilter())
    with trace.use_span(trace.NonRecordingSpan(SPAN)), log_context(tenant="AA", when={1}):
        handler.handle(record("x", extra={"rows": 3}))
    kept = waiting.get()
    assert dict(records.read(kept).fields) == {"tenant": "AA", "when": [1], "rows": 3}
    assert records.trace_fields(kept)["span_id"] == f"{0xB:016x}"


# --- Exceptions ---------------------------------------------------------------


class LoadError(Exception):
    pass


def caught() -> BaseException:
    """Return an exception with a cause and a traceback."""
    try:
        try:
            return {}["DETAIL:  Key (mail)=(ann@example.com)"]
        except KeyError as error:
            raise LoadError("token=abc") from error
    except LoadError as error:
        return error


def test_an_exception_is_told_with_causes_and_without_values() -> None:
    """Type by its qualified name, message and traceback redacted alike."""
    error = caught()
    info = errors.describe((type(error), error, error.__traceback__), policy=NOTHING_ALLOWED)
    assert info is not None
    assert (info.type, info.message) == (f"{__name__}.LoadError", "token=REDACTED")
    lines = info.stacktrace.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "The above exception was the direct cause of the following exception:" in lines
    assert lines[-1] == f"{__name__}.LoadError: token=REDACTED"
    assert "ann@example.com" not in info.stacktrace


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("thing", [None, (None, None, None), True, (), "x", ("a", "b", "c")])
def test_what_is_no_exception_is_none(thing: object) -> None:
    """`exc_info` may be anything that a caller, or another library, put there."""
    assert errors.describe(thing, policy=NOTHING_ALLOWED) is None


def test_an_exception_that_cannot_be_printed_is_still_told() -> None:
    """Its type and traceback are worth having."""
    info = errors.describe(MuteError(), policy=NOTHING_ALLOWED)
    assert info is not None
    assert (info.type, info.message) == (f"{__name__}.MuteError", "<exception str() failed>")
    assert info.stacktrace == f"{__name__}.MuteError: <exception str() failed>\n"


def test_a_traceback_that_is_none_is_replaced_by_the_message() -> None:
    """Pools hand over objects that only look like tracebacks."""
    info = errors.describe((ValueError, ValueError("x"), object()), policy=NOTHING_ALLOWED)
    assert info == errors.ErrorInfo("ValueError", "x", "ValueError: x\n")


def test_a_deep_recursion_is_bounded() -> None:
    """The innermost frames are told, not all thousand."""

    def again() -> None:
        again()

    try:
        again()
    except RecursionError:
        info = errors.describe(sys.exc_info(), policy=NOTHING_ALLOWED)
    assert info is not None
    assert len(info.stacktrace) <= errors.MAX_STACKTRACE


# --- Django and Celery --------------------------------------------------------


def request(path: str = "/admin/") -> object:
    """Return what has the shape of a Django request."""
    kind = type(
        "WSGIRequest",
        (),
        {"get_full_path": None, "build_absolute_uri": None, "method": "GET", "path": path},
    )
    return kind()


@pytest.mark.parametrize("name", ["django.request", "django.security.csrf", "apps.views"])
def test_a_request_is_told_by_method_and_path(name: str) -> None:
    """Never by its text, which has the query string (trap 20)."""
    assert fields("Not Found", name=name, extra={"request": request(), "status_code": 404}) == {
        "status_code": 404,
        "http.request.method": "GET",
        "url.path": "/admin/",
    }


def test_the_line_of_the_development_server_has_no_client_and_no_query() -> None:
    """`runserver` logs the whole request line, and the socket as an extra."""
    one = record(
        '"%s" %s %s', "GET /x?token=abc HTTP/1.1", "200", "12", name="django.server",
        extra={"request": object(), "status_code": 200},
    )  # fmt: skip
    assert dict(records.read(one).fields) == {"status_code": 200}
    assert JsonFormatter().format(one).count("token=REDACTED") == 1


def test_sql_of_django_has_no_values() -> None:
    """Neither in the fields, nor in the message that repeats them."""
    sql = "SELECT * FROM u WHERE mail = 'ann@example.com'"
    one = record(
        "(%.3f) %s; args=%s; alias=%s", 0.002, sql, ("ann",), "default",
        name="django.db.backends",
        extra={"duration": 0.002, "sql": sql, "params": ("ann",), "alias": "default"},
    )  # fmt: skip
    seen = records.read(one)
    safe = "SELECT * FROM u WHERE mail = ?"
    assert seen.message == f"(0.002) {safe}; alias=default"
    assert dict(seen.fields) == {"duration": 0.002, "sql": safe, "alias": "default"}
    allowed = records.read(one, policy=Policy(allow=("db.query.text",)))
    assert allowed.fields["sql"] == sql


def test_sql_of_a_schema_change_has_no_values() -> None:
    """The schema editor logs with other fields."""
    one = record(
        "%s; (params %r)", "ALTER TABLE t ALTER c SET DEFAULT 'x'", ("y",),
        name="django.db.backends.schema",
        extra={"params": ("y",), "sql": "ALTER TABLE t ALTER c SET DEFAULT 'x'"},
    )  # fmt: skip
    seen = records.read(one)
    assert seen.message == "ALTER TABLE t ALTER c SET DEFAULT ?"
    assert dict(seen.fields) == {"sql": "ALTER TABLE t ALTER c SET DEFAULT ?"}


TASK = {
    "id": "t1", "name": "apps.load", "hostname": "w1", "runtime": 0.5, "args": "('ann',)",
    "kwargs": "{'mail': 'a@b.c'}", "return_value": "'ann'", "exc": "ValueError('DETAIL: ann')",
    "traceback": "... ann", "description": "raised unexpected", "internal": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s",
         "Task apps.load[t1] succeeded in 0.5s: <not recorded>"),
        ("Task %(name)s[%(id)s] %(description)s: %(exc)s",
         "Task apps.load[t1] raised unexpected: ValueError('DETAIL: ?"),
    ],
)  # fmt: skip
def test_task_arguments_and_results_stay(message: str, expected: str) -> None:
    """Celery's own messages and their `data` keep the facts about a task, not its data."""
    one = record(message, TASK, name="celery.app.trace", extra={"data": TASK})
    seen = records.read(one)
    assert seen.message == expected
    assert dict(seen.fields) == {
        "data": {
            "id": "t1", "name": "apps.load", "hostname": "w1", "runtime": 0.5,
            "description": "raised unexpected", "internal": False,
        }
    }  # fmt: skip
    allowed = records.read(one, policy=Policy(allow=(TASK_ARGUMENTS,)))
    assert (allowed.message, allowed.fields["data"]) == (message % TASK, TASK)


def test_message_bodies_and_pool_arguments_of_celery_stay() -> None:
    """A message that cannot be read, and the pool's debug line, quote everything."""
    pool = "TaskPool: Apply %s (args:%s kwargs:%s)"
    one = record(pool, "<trace>", "ann", "{}", name="celery.concurrency.base")
    assert records.read(one).message == "TaskPool: Apply <trace>"
    unknown = "Received unregistered task of type %s.\nThe message body was:\n%s"
    one = record(unknown, KeyError("x"), "ann", name="celery.worker.consumer.consumer")
    assert records.read(one).message == (
        "Received unregistered task of type 'x'.\nThe message body was:\n<not recorded>"
    )


def test_the_applications_own_data_field_stays() -> None:
    """Only Celery's records are known to put arguments there."""
    assert fields("x", name="apps", extra={"data": {"args": 1}}) == {"data": {"args": 1}}


def test_an_odd_record_of_celery_is_read_all_the_same() -> None:
    """Its format may be the user's own and may not fit."""
    one = record("%(missing)s", {"id": 1}, name="celery.app.trace", extra={"data": "text"})
    seen = records.read(one)
    assert (seen.message, dict(seen.fields)) == ("%(missing)s", {"data": "text"})
    one = record(SimpleNamespace(a=1), 1, name="celery")
    assert records.read(one).message == "namespace(a=1) [1]"
