"""The span of one delivery: what it tells of its message, its wait, its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from kombu import Exchange, Queue
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from etl_telemetry.catalogue import MESSAGE_HEADER
from etl_telemetry.celery.message import Message
from etl_telemetry.runtime import propagation
from support.telemetry import Telemetry, labels

pytestmark = pytest.mark.usefixtures("instrumented")
SECOND = 10**9


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    propagation.install(["tracecontext", "baggage"])
    token = context.attach(Context())
    yield
    context.detach(token)


def deliver(body: Callable[..., Any], *, delivery_info: Any = None, **more: Any) -> None:
    """Run ``body`` as a worker runs a task."""
    app = Celery("jobs", broker="memory://", set_as_current=False)
    app.conf.task_queues = [Queue("reports", Exchange("topics", "topic"), routing_key="report.*")]
    options = more.pop("options", {})
    body.__name__ = "body"
    app.task(name="shop.tidy", shared=False, **options)(body)
    app.finalize()
    request = {
        "id": "t1", "is_eager": False, "hostname": "celery@host", "retries": 0,
        "delivery_info": {"routing_key": "jobs", "exchange": "", **(delivery_info or {})}, **more,
    }  # fmt: skip
    build_tracer("shop.tidy", app.tasks["shop.tidy"], app=app)("t1", (), {}, request)


COMMON = {
    "task.name": "shop.tidy",
    "task.type": "other",
    "task.status": "success",
    "messaging.system": "celery",
    "messaging.operation.type": "process",
    "messaging.operation.name": "run",
    "messaging.message.id": "t1",
    "messaging.destination.name": "jobs",
    "messaging.client.id": "celery@host",
}


def told(seen: Telemetry) -> dict[str, Any]:
    """Return the attributes of the only delivery."""
    span = seen.span("run/shop.tidy")
    assert span.kind is SpanKind.CONSUMER
    return dict(span.attributes or {})


def test_a_message_that_tells_nothing_makes_a_span_all_the_same(seen: Telemetry) -> None:
    """Of a publisher without telemetry: no wait, no parent, no link."""
    deliver(lambda: None)
    span = seen.span("run/shop.tidy")
    assert told(seen) == COMMON
    assert (span.parent, span.links, span.status.status_code) == (None, (), StatusCode.UNSET)
    assert "task.queue.wait" not in seen.values()


def test_a_redelivery_has_no_wait_but_in_the_worker(seen: Telemetry) -> None:
    """Since its publish it did not only wait: it ran."""
    now = time.time_ns()
    header = Message(published_ns=now - 9 * SECOND).to_header("t1", 0)
    deliver(
        lambda: None,
        delivery_info={"redelivered": True, "priority": 3},
        etl_telemetry_received=f"{now} prefork",
        **{MESSAGE_HEADER: header},
    )
    found = told(seen)
    assert found.pop("task.queue.wait.prefetch") >= 0
    assert found == {
        **COMMON, "task.redelivered": True, "task.priority": 3, "task.pool": "prefork",
    }  # fmt: skip
    phase = labels({"phase": "prefetch", "queue.name": "jobs"})
    assert seen.values()["task.queue.wait"] == {phase: 1}


def test_a_clock_that_is_ahead_is_told(seen: Telemetry) -> None:
    """The publisher's clock is an hour ahead: no negative wait, and the span says so."""
    header = Message(published_ns=time.time_ns() + 3_600 * SECOND).to_header("t1", 0)
    deliver(lambda: None, **{MESSAGE_HEADER: header})
    found = told(seen)
    assert found["task.queue.wait.broker"] == 0
    assert 3_000 < found["task.queue.clock_skew"] <= 3_600


def test_the_queue_of_an_exchange_is_found(seen: Telemetry) -> None:
    """A routing key of a topic is no queue; where no queue is known, it is what there is."""
    deliver(lambda: None, delivery_info={"exchange": "topics", "routing_key": "report.*"})
    assert told(seen)["messaging.destination.name"] == "reports"
    seen.clear()
    deliver(lambda: None, delivery_info={"exchange": "topics", "routing_key": "elsewhere"})
    assert told(seen)["messaging.destination.name"] == "elsewhere"


@pytest.mark.parametrize(
    ("options", "status", "events"),
    [({}, StatusCode.ERROR, 1), ({"throws": (ValueError,)}, StatusCode.UNSET, 0)],
    ids=["failure", "declared by the task"],
)
def test_a_failure_is_an_error_unless_the_task_declares_it(
    options: dict[str, Any], status: StatusCode, events: int, seen: Telemetry
) -> None:
    """`throws` names what is no error of the trace; it has failed all the same."""

    def fail() -> None:
        raise ValueError("boom")

    deliver(fail, options=options)
    span = seen.span("run/shop.tidy")
    assert told(seen) == {**COMMON, "task.status": "failed", "error.type": "ValueError"}
    assert (span.status.status_code, len(span.events)) == (status, events)
