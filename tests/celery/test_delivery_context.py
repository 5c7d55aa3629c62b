"""What a delivery finds around it, and what it leaves: context, parent, run, baggage."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from etl_telemetry import pipelines
from etl_telemetry.catalogue import RUN_HEADER
from etl_telemetry.logs import current_fields
from support.deliveries import IN_RUN, OTHER_TRACE, RUN, SAMPLED, TASK, count, deliver, succeed
from support.telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("instrumented", "propagators")


def test_a_task_starts_from_a_clean_context_and_restores_what_was_there(
    app: Celery, seen: Telemetry
) -> None:
    """What leaked into the worker's thread before is neither parent nor baggage of a task."""
    leaked = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=SAMPLED))
    dirty = baggage.set_baggage("user", "ada", trace.set_span_in_context(leaked))
    inside: list[Any] = []
    token = context.attach(dirty)
    try:
        deliver(app, lambda: inside.append(baggage.get_all()))
        assert context.get_current() == dirty
    finally:
        context.detach(token)
    assert inside == [{}]
    assert seen.span("run/shop.extract_orders").parent is None


def test_a_task_that_leaks_leaves_nothing_to_the_next_one(app: Celery, seen: Telemetry) -> None:
    """A span that the body entered and never left is not the parent of the next task."""
    before = context.get_current()

    def leak() -> None:
        context.attach(trace.set_span_in_context(trace.get_tracer("app").start_span("forgotten")))

    deliver(app, leak)
    assert context.get_current() == before


@pytest.mark.parametrize(
    ("headers", "trace_id", "parent_id"),
    [
        ({"traceparent": OTHER_TRACE}, 0xABC, 0xDEF),
        ({RUN_HEADER: RUN.to_header(), "traceparent": IN_RUN}, int(RUN.trace_id, 16), 0xDEF),
        (
            {RUN_HEADER: RUN.to_header()},
            RUN.span_context.trace_id,
            RUN.span_context.span_id,
        ),
        (
            {RUN_HEADER: RUN.to_header(), "traceparent": OTHER_TRACE},
            RUN.span_context.trace_id,
            RUN.span_context.span_id,
        ),
    ],
    ids=["no run", "run", "run without parent", "run with a parent elsewhere"],
)
def test_the_parent_is_the_publish_and_inside_a_run_always_in_its_trace(
    headers: dict[str, Any], trace_id: int, parent_id: int, app: Celery, seen: Telemetry
) -> None:
    """Whatever the publisher knew, a task of a run belongs to the trace of the run."""
    deliver(app, succeed, headers=headers)
    parent = seen.span("run/shop.extract_orders").parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (trace_id, parent_id)


def test_inside_a_task_the_run_and_the_log_fields_are_current(app: Celery, seen: Telemetry) -> None:
    """Steps and log records in the body need not be told which run they belong to."""
    inside: list[Any] = []

    def look() -> None:
        span = trace.get_current_span()
        inside.extend([pipelines.current_run(), dict(current_fields()), span])

    deliver(app, look, headers={RUN_HEADER: RUN.to_header()})
    run, fields, span = inside
    assert run == RUN
    assert fields == {
        **TASK,
        "pipeline.name": "daily",
        "pipeline.organization": "acme",
        "pipeline.run.id": "7",
    }
    assert span.name == "run/shop.extract_orders"
    assert (pipelines.current_run(), dict(current_fields())) == (None, {})


def test_baggage_of_the_message_is_there_in_the_task(app: Celery, seen: Telemetry) -> None:
    """What the publisher put into the baggage arrives, also inside a run."""
    inside: list[Any] = []
    for headers in (
        {"traceparent": OTHER_TRACE},
        {"traceparent": IN_RUN, RUN_HEADER: RUN.to_header()},
    ):
        deliver(
            app,
            lambda: inside.append(baggage.get_all()),
            name=f"shop.{uuid4()}",
            headers={**headers, "baggage": "tenant=acme"},
        )
    assert inside == [{"tenant": "acme"}, {"tenant": "acme"}]


@pytest.mark.parametrize("header", ["{", "[]", '{"v": 99}', 3, None, "x" * 100_000])
def test_a_header_that_cannot_be_read_costs_the_run_not_the_task(
    header: object, app: Celery, seen: Telemetry
) -> None:
    """A message of a newer version, or garbage, still runs and is still counted."""
    done: list[int] = []
    deliver(app, lambda: done.append(1), headers={RUN_HEADER: header})
    assert done == [1]
    assert seen.values()["task.executions"] == count("success")
