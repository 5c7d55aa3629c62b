"""Whatever an application passes: nothing is raised, and good telemetry stays whole."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from opentelemetry import context as context_api

from etl_telemetry import guard, metrics
from etl_telemetry.pipelines import (
    Run,
    attach,
    begin_run,
    connector_operation,
    current_run,
    detach,
    finish_run,
    pipeline_run,
    step,
)
from support.events import kept
from support.hostile import anything
from support.telemetry import labels, telemetry

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def good_run_is_whole() -> None:
    """Assert that a run in order arrives, and arrives alone."""
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    seen = telemetry()
    assert current_run() is None
    with pipeline_run("daily", organization="acme") as run, step("load") as load:
        load.add_rows(read=1, processed=1)
    assert [(span.name, span.context.trace_id) for span in seen.spans()] == [
        ("step load", run.span_context.trace_id),
        ("pipeline run daily", run.span_context.trace_id),
    ]
    rows = labels({"pipeline.name": "daily", "step.type": "load"})
    end = labels({"pipeline.name": "daily", "organization": "acme", "status": "success"})
    values = seen.values()
    values.pop("pipeline.last_success.timestamp")
    assert values == {
        "data.rows.read": {rows: 1}, "data.rows.processed": {rows: 1},
        "pipeline.executions": {end: 1}, "pipeline.execution.duration": {end: 1},
    }  # fmt: skip


@EXAMPLES
@given(anything(), anything(), anything(), anything(), anything())
def test_runs_take_anything(a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
    """`pipeline_run`, `begin_run` and `finish_run`, with anything in every place."""
    guard.reset_after_fork()
    options = {"trigger": d, "triggered_by": e, "attempt": a, "started_at": b, "links": c}
    with kept("etl_telemetry.audit"):
        with pipeline_run(a, organization=b, run_id=c, attributes=e, **options) as run:
            run.set_status(d)
            run.set_attribute(a, b)
        with begin_run(b, organization=a, run_id=d, **options):
            pass
        answer = finish_run(
            e, a, name=c, organization=d, started_at=a, finished_at=b, trigger=c, triggered_by=d,
            attempt=e, claim=None, error=a, attributes=b, rows=c, links=d,
        )  # fmt: skip
    assert type(answer) is bool
    assert guard.drops().get("internal_error", 0) == 0
    good_run_is_whole()


@EXAMPLES
@given(anything(), anything(), anything())
def test_steps_take_anything(a: Any, b: Any, c: Any) -> None:
    """`step`, `add_rows` and `connector_operation`, with anything in every place."""
    guard.reset_after_fork()
    before = context_api.get_current()
    with step(a) as here:
        here.add_rows(read=a, processed=b, rejected=c, skipped=a, written=b)
        with connector_operation(b, c) as operation:
            operation.set_status(a)
    with pipeline_run("daily", organization="acme")(lambda: step(b))():
        pass
    Run.from_header(a)
    detach(attach(b))
    detach(c)
    assert context_api.get_current() == before
    assert guard.drops().get("internal_error", 0) == 0
    good_run_is_whole()


@EXAMPLES
@given(anything())
def test_the_decorator_takes_anything(thing: Any) -> None:
    """What cannot be wrapped comes back as it is."""
    wrapped = pipeline_run(thing, organization=thing)(thing)
    assert wrapped is thing or callable(wrapped)


@EXAMPLES
@given(anything())
def test_a_claim_can_be_anything_that_is_no_function(claim: Any) -> None:
    """What cannot be called is not asked."""
    if not callable(claim):
        with pipeline_run("daily", organization="acme", claim=claim):
            pass
    good_run_is_whole()
