"""What a task asked the database is on its span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from opentelemetry.trace import SpanKind

from etl_telemetry import queries
from support.telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("instrumented")


def deliver(body: Callable[[], Any], *, eager: bool = False) -> None:
    """Run ``body`` as a worker runs a task, or as `task_always_eager` does."""
    body.__name__ = "body"
    app = Celery("jobs", broker="memory://", set_as_current=False)
    task: Any = app.task(name="shop.extract", shared=False)(body)
    app.finalize()
    if eager:
        task.apply()
        return
    request = {"id": "1", "delivery_info": {"routing_key": "jobs"}, "is_eager": False}
    build_tracer(task.name, app.tasks[task.name], app=app)("1", (), {}, request)


def ask() -> None:
    """Ask the database twice the same."""
    queries.count("SELECT 1", 0.5)
    queries.count("SELECT 2", 0.5)


def ask_and_fail() -> None:
    """Ask, and fail."""
    ask()
    raise ValueError("no rows")


def told(seen: Telemetry) -> dict[str, Any]:
    """Return what the task's span says of queries."""
    (span,) = [span for span in seen.spans() if span.kind is SpanKind.CONSUMER]
    attributes = span.attributes or {}
    return {key: value for key, value in attributes.items() if key.startswith("db.")}


@pytest.mark.parametrize("body", [ask, ask_and_fail])
def test_a_task_tells_its_queries_however_it_ends(body: Callable[[], Any], seen: Telemetry) -> None:
    """Their number, their time, and the one that repeats."""
    deliver(body)
    assert told(seen) == {
        "db.query.count": 2,
        "db.query.duration": 1.0,
        "db.query.repeated.text": "SELECT ?",
        "db.query.repeated.count": 2,
    }
    assert queries.current() is None


def test_a_task_without_queries_says_nothing_of_them(seen: Telemetry) -> None:
    """Most tasks of some applications have no database."""
    deliver(lambda: None)
    assert told(seen) == {}


def test_queries_of_an_eager_task_count_for_its_request_too(seen: Telemetry) -> None:
    """They are made while the request waits."""
    with queries.Tally() as request:
        deliver(ask, eager=True)
    assert (told(seen)["db.query.count"], request.number) == (2, 2)
