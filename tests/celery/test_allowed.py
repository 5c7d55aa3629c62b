"""Arguments of tasks leave the process where their names are allowed, and only then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task, signals
from celery.app.task import Context
from celery.app.trace import build_tracer
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from etl_telemetry.celery.instrumentation import instrument
from etl_telemetry.config import Config
from etl_telemetry.logs.context import current_fields
from support.telemetry import Telemetry

ALLOWED = ("order", "day", "password", "batch")
PREFIX = "etl_telemetry.argument."


def fields_of(found: Any) -> dict[str, Any]:
    """Return the arguments among attributes or fields, without their prefix."""
    return {
        key.removeprefix(PREFIX): value
        for key, value in (found or {}).items()
        if key.startswith(PREFIX)
    }


def deliver(
    body: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    allowed: tuple[str, ...],
) -> dict[str, Any]:
    """Run ``body`` as a worker runs a task; return the arguments that its records carry."""
    inside: list[dict[str, Any]] = []

    def note(*_: Any, **__: Any) -> None:
        inside.append(fields_of(current_fields()))

    app = Celery("jobs", broker="memory://", set_as_current=False)
    bind = "self" in body.__annotations__
    task: Any = app.task(name="shop.load", shared=False, bind=bind)(body)
    app.finalize()
    undo = instrument(CeleryInstrumentor(), Config(task_arguments=allowed))
    assert undo is not None
    signals.task_prerun.connect(note, weak=False)
    request = {"id": "1", "delivery_info": {}, "is_eager": False, "args": args, "kwargs": kwargs}
    try:
        build_tracer(task.name, app.tasks[task.name], app=app)("1", args, kwargs, request)
    finally:
        signals.task_prerun.disconnect(note)
        undo()
    (told,) = inside
    return told


def load(order: int, customer: str, day: str = "today", *, password: str = "") -> None:
    """Take arguments of all kinds."""


def bound(self: Task[Any, Any], order: int, **more: str) -> None:
    """Take itself, and anything."""


@pytest.mark.parametrize(
    ("body", "args", "kwargs", "expected"),
    [
        (load, (7, "ada@example.com"), {}, {"order": 7, "day": "today", "password": "REDACTED"}),
        (
            load,
            (7,),
            {"customer": "ada@example.com", "password": "hunter2"},
            {"order": 7, "day": "today", "password": "REDACTED"},
        ),
        (bound, (8,), {"batch": "b", "customer": "ada"}, {"order": 8, "batch": "b"}),
    ],
    ids=["by position", "by name", "bound"],
)
def test_named_arguments_are_told_on_span_and_records(
    body: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    expected: dict[str, Any],
    seen: Telemetry,
) -> None:
    """By whichever way they came, with their defaults; one that looks like a secret is masked."""
    assert deliver(body, args, kwargs, ALLOWED) == expected
    assert fields_of(seen.span("run/shop.load").attributes) == expected


def test_by_default_none_is_told(seen: Telemetry) -> None:
    """Nor where the task has none of the named ones."""
    for allowed in ((), ("nothing",)):
        assert deliver(load, (7, "ada@example.com"), {}, allowed) == {}


def test_arguments_that_do_not_fit_cost_nothing(seen: Telemetry) -> None:
    """The call itself says so, to the right person; it is counted as any failure."""
    assert deliver(load, (), {}, ALLOWED) == {}
    counted = seen.values()["task.executions"]
    assert [dict(labels)["status"] for labels in counted] == ["failed"]


def test_a_revoked_task_tells_them_too(seen: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Which order was not loaded is what somebody wants to know."""
    app = Celery("jobs", broker="memory://", set_as_current=False)
    task: Any = app.task(load, name="shop.load", shared=False)
    app.finalize()
    undo = instrument(CeleryInstrumentor(), Config(task_arguments=("order",)))
    assert undo is not None
    told: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.emit = lambda _: told.append(fields_of(current_fields()))  # type: ignore[method-assign]
    logger = logging.getLogger("etl_telemetry.celery")
    logger.addHandler(handler)
    try:
        request = Context(id="1", args=(7, "ada"), kwargs={})
        signals.task_revoked.send(app.tasks[task.name], request=request, terminated=False)
    finally:
        logger.removeHandler(handler)
        undo()
    assert told == [{"order": 7}]
