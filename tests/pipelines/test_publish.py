"""`begin_run`: a run that begins here and ends elsewhere."""

from __future__ import annotations

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace

from etl_telemetry.logs import current_fields
from etl_telemetry.pipelines import Run, attach, begin_run, current_run, detach, finish_run
from support.events import Event, kept
from support.telemetry import Telemetry, labels


def test_nothing_is_counted_at_the_begin(seen: Telemetry, events: list[Event]) -> None:
    """Only a log event tells that it began; span and count come with the end."""
    with begin_run("daily", organization="acme", run_id=42, trigger="api"):
        pass
    assert (seen.values(), seen.spans()) == ({}, ())
    assert events == [
        Event(
            "pipeline_run_started",
            "INFO",
            {
                "pipeline.name": "daily",
                "pipeline.organization": "acme",
                "pipeline.run.id": "42",
                "pipeline.run.trigger": "api",
            },
        )
    ]


def test_nothing_leaks(seen: Telemetry) -> None:
    """After the block the request is as it was, also where publishing failed."""
    with trace.get_tracer("t").start_as_current_span("GET /") as request:
        with pytest.raises(ConnectionError), begin_run("daily", organization="acme"):
            raise ConnectionError
        assert trace.get_current_span() is request
        assert (current_run(), dict(current_fields())) == (None, {})


def test_what_is_published_inside_belongs_to_the_run(seen: Telemetry) -> None:
    """A span of the publish is a child of the run's root, not of the request."""
    tracer = trace.get_tracer("t")
    with tracer.start_as_current_span("GET /"), begin_run("daily", organization="acme") as run:
        tracer.start_span("publish").end()
    parent = seen.span("publish").parent
    assert parent is not None
    assert parent == run.span_context


def test_audit_of_a_begin_that_failed_is_not_written(seen: Telemetry) -> None:
    """`pipeline_execution_started` is written where the block ends well only."""
    with kept("etl_telemetry.audit") as events:
        with pytest.raises(ConnectionError), begin_run("daily", organization="acme"):
            raise ConnectionError
        assert events == []
        with begin_run("daily", organization="acme", run_id=42, triggered_by=7, trigger="api"):  # type: ignore[arg-type]
            assert events == []
    assert [(e.name, e.fields) for e in events] == [
        (
            "pipeline_execution_started",
            {
                "pipeline.name": "daily",
                "pipeline.organization": "acme",
                "pipeline.run.id": "42",
                "audit.actor": "7",
                "audit.organization": "acme",
                "audit.resource.type": "pipeline_run",
                "audit.resource.id": "42",
                "audit.outcome": "success",
                "audit.details": {
                    "pipeline_name": "daily",
                    "trigger_type": "api",
                    "triggered_by": "7",
                },
            },
        )
    ]


def test_one_trace_over_processes_and_retries(seen: Telemetry) -> None:
    """Begin in a request, a step that fails and is retried, finish in the last task: one trace."""
    tracer = trace.get_tracer("t")
    with (
        tracer.start_as_current_span("GET /") as request,
        begin_run("daily", organization="acme", trigger="api", triggered_by="7") as run,
    ):
        header = run.to_header()
    for attempt in (1, 2, 3):  # Three deliveries, each in a worker that knows the header only.
        outside = context_api.attach(context_api.Context())
        there = Run.from_header(header)
        assert there is not None
        token = attach(there)
        with tracer.start_as_current_span(f"task {attempt}"):
            done = attempt == 3 and finish_run(
                there.id,
                "success",
                name="daily",
                organization="acme",
                started_at=there.started_at.isoformat(),
            )
        detach(token)
        context_api.detach(outside)
    assert done
    root = seen.span("pipeline run daily")
    tasks = [seen.span(f"task {attempt}") for attempt in (1, 2, 3)]
    assert {span.context.trace_id for span in (root, *tasks)} == {run.span_context.trace_id}
    assert {span.parent.span_id for span in tasks if span.parent} == {root.context.span_id}
    assert [(link.context.trace_id, link.context.span_id) for link in root.links] == [
        (request.get_span_context().trace_id, request.get_span_context().span_id)
    ]
    assert root.start_time == run.started_ns
    assert (root.end_time or 0) > max(span.start_time or 0 for span in tasks)
    assert (root.attributes or {})["pipeline.run.trigger"] == "api"
    assert (root.attributes or {})["pipeline.run.triggered_by"] == "7"
    key = labels({"pipeline.name": "daily", "organization": "acme", "status": "success"})
    assert seen.values()["pipeline.executions"] == {key: 1}
