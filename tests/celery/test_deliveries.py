"""One delivery of a task: outcome, labels, log events, count; the host always wins."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject
from opentelemetry import context, trace

from etl_telemetry import guard
from etl_telemetry.catalogue import RUN_HEADER
from etl_telemetry.logs import current_fields
from support.deliveries import RUN, count, deliver, succeed
from support.telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("instrumented", "propagators")


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """Give our log events so far, each as its name, level and fields."""
    caplog.set_level(logging.INFO, "etl_telemetry.celery")

    def read() -> list[dict[str, Any]]:
        found = [r for r in caplog.records if r.name == "etl_telemetry.celery"]
        caplog.clear()
        standard = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
        return [
            {"event": r.getMessage(), "level": r.levelname}
            | {k: v for k, v in vars(r).items() if k not in standard}
            for r in found
        ]

    return read


# --- Outcomes ---------------------------------------------------------------


def fail() -> None:
    """End badly, with a row of a table in the message."""
    raise ValueError("duplicate key\nDETAIL:  Key (email)=(ada@example.com) already exists.")


def ask_again(self: Task[Any, Any]) -> None:
    """Ask for another delivery."""
    raise self.retry(exc=OSError("no route to password=hunter2"), countdown=0)


def ignore() -> None:
    """End without a result."""
    raise Ignore


def reject() -> None:
    """Refuse the message for good."""
    raise Reject("unreadable", requeue=False)


def requeue() -> None:
    """Give the message back."""
    raise Reject("busy", requeue=True)


def leave() -> None:
    """End the process, as far as a thread can."""
    raise SystemExit(3)


OUTCOMES: dict[str, tuple[Callable[..., Any], bool, str, dict[str, Any]]] = {
    "success": (succeed, False, "success", {
        "event": "task_completed", "level": "INFO", "task.result.size": 3}),
    "failure": (fail, False, "failed", {
        "event": "task_failed", "level": "ERROR", "error.type": "ValueError",
        "exception.message": "duplicate key\nDETAIL: ?"}),
    "retry": (ask_again, True, "retried", {
        "event": "task_retried", "level": "WARNING",
        "task.retry.reason": "OSError: no route to password=REDACTED"}),
    "ignore": (ignore, False, "success", {"event": "task_completed", "level": "INFO"}),
    "reject": (reject, False, "failed", {
        "event": "task_rejected", "level": "WARNING", "error.type": "celery.exceptions.Reject",
        "exception.message": "unreadable"}),
    "reject and requeue": (requeue, False, "retried", {
        "event": "task_retried", "level": "WARNING", "task.retry.reason": "busy"}),
    "exit": (leave, False, "failed", {
        "event": "task_failed", "level": "ERROR", "error.type": "SystemExit",
        "exception.message": "3"}),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTCOMES.values(), ids=OUTCOMES)
def test_each_outcome_is_counted_once_and_logged_once(
    case: tuple[Callable[..., Any], bool, str, dict[str, Any]],
    app: Celery,
    seen: Telemetry,
    events: Callable[[], list[dict[str, Any]]],
) -> None:
    """One delivery is one count, one duration, one span, and a begin and an end in the log."""
    body, bind, status, expected = case
    try:
        deliver(app, body, bind=bind)
    except SystemExit:
        assert body is leave
    values = seen.values()
    assert values["task.executions"] == count(status)
    assert values["task.execution.duration"] == {(("status", status), ("task.type", "extract")): 1}
    started, ended = events()
    assert started == {"event": "task_started", "level": "INFO"}
    assert ended.pop("task.duration") >= 0
    assert ended == {"task.status": status, **expected}
    assert [span.name for span in seen.spans() if span.name.startswith("run/")] == [
        "run/shop.extract_orders"
    ]


def test_a_result_backend_that_fails_after_a_good_body_makes_a_failure(
    app: Celery, seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is Celery's, not the body's: what could not be stored has failed."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("the result backend is away")

    monkeypatch.setattr(app.backend, "mark_as_done", refuse)
    with pytest.warns(RuntimeWarning, match="outside body"):
        deliver(app, succeed)
    assert seen.values()["task.executions"] == count("failed")


def test_an_eager_task_in_an_except_block_succeeds(app: Celery, seen: Telemetry) -> None:
    """The exception that the caller is handling is not the task's."""
    task = app.task(succeed, name="shop.extract_orders", shared=False)
    try:
        int("no number")
    except ValueError:
        assert task.apply().get() == [1, 2, 3]
    assert seen.values()["task.executions"] == count("success")


def test_an_eager_task_is_part_of_the_callers_trace(app: Celery, seen: Telemetry) -> None:
    """Eager tasks get no clean context: they belong to the request that runs them."""
    task = app.task(succeed, name="shop.extract_orders", shared=False)
    with trace.get_tracer("request").start_as_current_span("GET /"):
        task.apply()
    assert seen.span("run/shop.extract_orders").parent == seen.span("GET /").context


# --- Labels -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "type_"),
    [("shop.extract_orders", "extract"), ("shop.Load", "load"), ("shop.tidy", "other")],
)
def test_the_type_comes_from_the_name(name: str, type_: str, app: Celery, seen: Telemetry) -> None:
    """By default a name that contains extract, transform or load says so."""
    deliver(app, succeed, name=name)
    assert seen.values()["task.executions"] == count("success", type_=type_)


@pytest.mark.parametrize(
    ("kwargs", "headers", "pipeline"),
    [
        ({}, {}, "unknown"),
        ({"pipeline_name": "hourly"}, {}, "hourly"),
        ({"pipeline_name": "hourly"}, {RUN_HEADER: RUN.to_header()}, "daily"),
        ({"pipeline_name": None}, {}, "unknown"),
    ],
)
def test_the_pipeline_is_the_runs_then_the_arguments(
    kwargs: dict[str, Any], headers: dict[str, Any], pipeline: str, app: Celery, seen: Telemetry
) -> None:
    """A run knows its pipeline; without a run the argument `pipeline_name` tells it."""
    deliver(app, lambda pipeline_name="": None, kwargs=kwargs, headers=headers)
    assert seen.values()["task.executions"] == count("success", pipeline=pipeline)


# --- The host always wins ---------------------------------------------------


class Unprintable:
    """Refuse to be looked at."""

    def __str__(self) -> str:
        raise RuntimeError("not printable")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


@pytest.mark.parametrize(
    "broken",
    [
        "etl_telemetry.celery.runs.read",
        "etl_telemetry.pipelines.attach",
        "etl_telemetry.metrics.record_task_execution",
        "etl_telemetry.pipelines.detach",
    ],
)
def test_an_error_of_ours_never_reaches_the_task(
    broken: str, app: Celery, seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body runs, its context is restored, and the error is counted."""
    monkeypatch.setattr(broken, lambda *_, **__: 1 / 0)
    drops = guard.drops().get("internal_error", 0)
    done: list[int] = []

    def scenario() -> None:
        before = context.get_current()
        deliver(app, lambda: done.append(1), headers={RUN_HEADER: RUN.to_header()})
        assert context.get_current() == before

    contextvars.copy_context().run(scenario)  # A broken `detach` must not dirty other tests.
    assert done == [1]
    assert guard.drops()["internal_error"] > drops
    counted = seen.values().get("task.executions", {})
    assert sum(counted.values()) == (0 if "record_task" in broken else 1)


def test_a_filter_of_the_host_that_raises_costs_the_record_not_the_count(
    app: Celery, seen: Telemetry
) -> None:
    """`logging` lets errors of filters through; a delivery is counted all the same."""

    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("in a filter of the host")

    logger = logging.getLogger("etl_telemetry.celery")
    logger.addFilter(refuse)
    logger.setLevel(logging.INFO)
    try:
        deliver(app, succeed)
    finally:
        logger.removeFilter(refuse)
        logger.setLevel(logging.NOTSET)
    assert seen.values()["task.executions"] == count("success")
    assert dict(current_fields()) == {}


@pytest.mark.parametrize("name", [Unprintable(), b"hourly", 7, ["a"], ""])
def test_a_strange_pipeline_name_costs_nothing(name: object, app: Celery, seen: Telemetry) -> None:
    """Whatever an application passes as `pipeline_name`, its task runs and is counted."""
    deliver(app, lambda pipeline_name: None, kwargs={"pipeline_name": name})
    assert sum(seen.values()["task.executions"].values()) == 1


def test_revoked_is_counted_and_logged(
    app: Celery, seen: Telemetry, events: Callable[[], list[dict[str, Any]]]
) -> None:
    """A task that never ran has no duration, and its run is known."""
    from celery.app.task import Context

    task = app.task(succeed, name="shop.extract_orders", shared=False)
    app.finalize()
    request = Context(id="task-1", kwargs={}, **{RUN_HEADER: RUN.to_header()})
    signals.task_revoked.send(
        app.tasks[task.name], request=request, terminated=False, signum=None, expired=False
    )
    values = seen.values()
    assert values["task.executions"] == count("revoked", pipeline="daily")
    assert values.get("task.execution.duration", {}) == {}
    assert events() == [
        {"event": "task_revoked", "level": "WARNING", "task.status": "revoked"},
    ]
