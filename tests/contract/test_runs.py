"""Runs, steps, connector operations and audit events against the catalogue, whole.

One scenario makes everything that these rooms can emit. Each span, metric, log
event and audit event must be declared, with no attribute beside those declared,
and everything declared must occur.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from etl_telemetry import audit, guard, metrics, queries
from etl_telemetry.catalogue import (
    AUDIT_EVENTS,
    AUDIT_FIELDS,
    CONNECTOR_SPAN,
    LOG_EVENTS,
    METRICS,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    RUN_SPAN,
    STEP_SPAN,
    STEP_TYPE,
    Span,
)
from etl_telemetry.pipelines import (
    Run,
    attach,
    begin_run,
    connector_operation,
    detach,
    finish,
    finish_run,
    pipeline_run,
    step,
)
from support.events import Event, kept
from support.telemetry import telemetry

OURS = (RUN_SPAN, STEP_SPAN, CONNECTOR_SPAN)
CONTEXT = {PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_RUN_ID, STEP_TYPE}
# Looked at, not recorded: tests/django, tests/celery and tests/observer. The board takes a reading
# with exactly the declared labels only.
OBSERVED = {
    "audit.events.waiting",
    "celery.beat.missed",
    "celery.beat.next_due.timestamp",
    "celery.messages.unacked",
    "celery.queue.consumers",
    "celery.queue.oldest_message.age",
    "celery.worker.pool.size",
    "celery.worker.tasks.active",
    "celery.worker.tasks.prefetched",
    "celery.worker.up",
    "database.client.connections",
    "database.pool.connections",
    "database.pool.waiting",
    "database.server.connections",
    "database.server.connections.limit",
    "observer.readings",
    "pipeline.active_run.age",
}
EVENTS = {
    "pipeline_run_started",
    "pipeline_run_finished",
    "pipeline_run_already_finished",
    "rows_mismatch",
}


@dataclass(frozen=True)
class Seen:
    """Everything that the scenario emitted."""

    spans: tuple[ReadableSpan, ...]
    points: dict[str, dict[tuple[tuple[str, object], ...], object]]
    logs: list[Event]
    audits: list[Event]
    run: Run
    request: SpanContext
    links: tuple[SpanContext, ...] = field(default=())


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Play the scenario: a run over two processes with a retry, and a local one that fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "_finished", finish._Finished())
        guard.reset_after_fork()
        metrics.configure(max_pipelines=2_000, max_organizations=50)
        return play()


def play() -> Seen:
    """Emit everything."""
    found = telemetry()
    with (
        kept("etl_telemetry.pipelines") as logs,
        kept("etl_telemetry.audit", logging.INFO) as audits,
    ):
        with (
            trace.get_tracer("django").start_as_current_span("POST /runs") as request,
            begin_run(
                "flights",
                organization="AA",
                run_id="r1",
                trigger="api",
                triggered_by="7",
                attempt=1,
            ) as run,
        ):
            header = run.to_header()
        work(header)
        with pytest.raises(ValueError, match="bad row"), pipeline_run("local", organization="AA"):
            raise ValueError("bad row")
        assert not finish_run("r1", "lost", name="flights", organization="AA", started_at=0)
        audit.record("pipeline_updated", resource={"type": "pipeline", "id": 1})
        metrics.record_task_execution("extract", "flights", "success", 0.1)
        metrics.record_active_runs(1)
        metrics.record_queue_sizes({"celery": 1})
        metrics.record_queue_wait("celery", "broker", 0.1)
        metrics.record_database_connections({"postgresql": 1})
        metrics.record_platform_info("1", "test", "today")
        metrics.record_http_request("GET", "a/", 500, 0.1, scheme="http", error_type="KeyError")
        metrics.record_database_query("default", "SELECT", "success", 0.1, rows=1)
        metrics.record_database_connect("default", "error", 0.1)
        metrics.record_database_transaction("default", "committed")
        with step("load", rows_total=10):
            running = found.points()
    points = {**running, **found.points()}
    return Seen(found.spans(), points, logs, audits, run, request.get_span_context())


def work(header: str) -> None:
    """Do what two deliveries of a task do: fail, then succeed and finish the run."""
    for attempt in (1, 2):
        run = Run.from_header(header)
        assert run is not None
        token = attach(run)
        try:
            with step("load") as load:
                load.add_rows(read=10, processed=6, rejected=2, skipped=1)
                for number in (1, 2):
                    queries.count(f"SELECT {number}", 0.25)
                with connector_operation("sql", "copy"):
                    refuse(attempt)
            facts = {"name": run.name, "organization": run.organization}
            rows = {"read": 10, "processed": 6, "rejected": 2, "skipped": 1}
            finish_run(run.id, "success", started_at=run.started_at, rows=rows, **facts)
        except ConnectionError:
            pass
        finally:
            detach(token)


def refuse(attempt: int) -> None:
    """Refuse the first attempt."""
    if attempt == 1:
        raise ConnectionError("refused")


def declared(span: ReadableSpan) -> Span:
    """Return the catalogue's entry of a span: the one whose name it has."""
    (entry,) = [
        entry
        for entry in OURS
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(entry.name)), span.name)
    ]
    return entry


def ours(seen: Seen) -> list[ReadableSpan]:
    """Return the spans of this library."""
    return [
        span
        for span in seen.spans
        if span.instrumentation_scope and span.instrumentation_scope.name == "etl_telemetry"
    ]


def test_spans_are_declared(seen: Seen) -> None:
    """Each span has a declared name and kind, and no attribute that is not declared."""
    for span in ours(seen):
        entry = declared(span)
        assert span.kind.name.lower() == entry.kind
        assert set(span.attributes or {}) <= set(entry.attributes), span.name


def test_everything_declared_of_spans_occurs(seen: Seen) -> None:
    """No attribute is declared that nothing emits."""
    found: dict[str, set[str]] = {entry.name: set() for entry in OURS}
    for span in ours(seen):
        found[declared(span).name] |= set(span.attributes or {})
    assert found == {entry.name: set(entry.attributes) for entry in OURS}


def test_metrics_are_declared_and_occur(seen: Seen) -> None:
    """Each metric of runs occurs, with exactly the declared labels."""
    assert set(seen.points) == set(METRICS) - {"telemetry.drops"} - OBSERVED
    for name, points in seen.points.items():
        for labels in points:
            assert {key for key, _ in labels} == set(METRICS[name].attributes), name


def test_log_events_are_declared_and_occur(seen: Seen) -> None:
    """Each event has a declared name and level, and no field that is not declared."""
    assert {event.name for event in seen.logs} == EVENTS
    for event in seen.logs:
        entry = LOG_EVENTS[event.name]
        assert event.level == entry.level
        assert set(event.fields) - CONTEXT <= set(entry.fields), event.name


def test_everything_declared_of_log_events_occurs(seen: Seen) -> None:
    """No field of these events is declared that nothing emits."""
    found: dict[str, set[str]] = {name: set() for name in EVENTS}
    for event in seen.logs:
        found[event.name] |= set(event.fields)
    assert {name: set(LOG_EVENTS[name].fields) - found[name] for name in EVENTS} == {
        name: set() for name in EVENTS
    }


def test_audit_events_are_declared(seen: Seen) -> None:
    """Each audit event has a declared name and exactly the declared fields beside its context."""
    assert [event.name for event in seen.audits] == [
        "pipeline_execution_started",
        "pipeline_execution_finished",
        "pipeline_execution_started",
        "pipeline_execution_finished",
        "pipeline_updated",
    ]
    for event in seen.audits:
        assert event.name in AUDIT_EVENTS
        assert event.level == "INFO"
        assert set(event.fields) - CONTEXT <= set(AUDIT_FIELDS)
        assert set(AUDIT_FIELDS) - set(event.fields) <= {"audit.organization"}


def test_the_whole_trace_of_a_run(seen: Seen) -> None:
    """The tree of the run: both attempts of its step below one root, the request linked."""
    of_run = [s for s in seen.spans if s.context.trace_id == seen.run.span_context.trace_id]
    names = {span.context.span_id: span.name for span in of_run}
    facts = {"pipeline.name": "flights", "pipeline.run.id": "r1"}
    rows = {"read": 10, "processed": 6, "rejected": 2, "skipped": 1}
    of_step = {
        **facts, "pipeline.organization": "AA", "step.type": "load",
        **{f"step.rows.{word}": number for word, number in rows.items()},
        "db.query.count": 2, "db.query.duration": 0.5,
        "db.query.repeated.text": "SELECT ?", "db.query.repeated.count": 2,
    }  # fmt: skip
    of_copy = {**facts, "connector.type": "sql", "connector.operation": "copy"}
    refused = {"error.type": "ConnectionError"}
    assert [
        (s.name, names.get(s.parent.span_id) if s.parent else None, s.status.description,
         dict(s.attributes or {}))
        for s in of_run
    ] == [
        ("connector copy", "step load", "refused",
         {**of_copy, "connector.status": "error", **refused}),
        ("step load", "pipeline run flights", "refused", {**of_step, **refused}),
        ("connector copy", "step load", None, {**of_copy, "connector.status": "success"}),
        ("step load", "pipeline run flights", None, of_step),
        ("pipeline run flights", None, None,
         {
             **facts, "pipeline.organization": "AA", "pipeline.status": "success",
             "pipeline.run.trigger": "api", "pipeline.run.triggered_by": "7",
             "pipeline.run.attempt": 1,
             **{f"pipeline.run.rows.{word}": number for word, number in rows.items()},
         }),
    ]  # fmt: skip
    root = of_run[-1]
    assert [(link.context.trace_id, link.context.span_id) for link in root.links] == [
        (seen.request.trace_id, seen.request.span_id)
    ]
    assert seen.request.trace_id != seen.run.span_context.trace_id
    assert root.start_time == seen.run.started_ns
    assert root.start_time <= min(span.start_time or 0 for span in of_run)
    assert (root.end_time or 0) >= max(span.end_time or 0 for span in of_run[:-1])


def test_every_log_record_of_a_run_is_found_by_its_trace(seen: Seen) -> None:
    """Searching the logs for the trace id gives the run's events, and no other run's."""
    found = [e.name for e in seen.logs if e.trace_id == seen.run.span_context.trace_id]
    assert found == ["pipeline_run_started", "rows_mismatch", "pipeline_run_finished"]
