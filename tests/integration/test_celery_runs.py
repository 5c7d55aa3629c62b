"""A run over many processes: one trace whose root is the run, counted once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from etl_telemetry.viewer.records import Span
from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

PUBLISH = """
import json
from celery import chain
from opentelemetry import trace
from support.celery_app import *

tracer = trace.get_tracer("web")
with tracer.start_as_current_span("GET /run") as request:
    with pipelines.begin_run("daily", organization="acme", trigger="api") as run:
        steps = {steps}
        result = chain(*steps).apply_async({errback})
    after = trace.get_current_span() is request
    {unrelated}
print(json.dumps({{
    "run": run.id, "trace": run.trace_id, "restored": after, "started_ns": run.started_ns,
    "request": f"{{request.get_span_context().span_id:016x}}",
}}))
"""


def publish(broker: str, received: Received, steps: str, errback: str = "") -> dict[str, Any]:
    """Begin a run in a process of its own and publish its chain there."""
    script = PUBLISH.format(steps=steps, errback=errback, unrelated="work.delay(1)")
    told: dict[str, Any] = json.loads(run_script(script, broker, received))
    assert told["restored"]
    return told


def tree(spans: list[Span]) -> list[tuple[int, str]]:
    """Return a trace as lines: depth and name, children by start; without Redis commands."""
    spans = [span for span in spans if span.kind != "client"]
    ids = {span.span_id for span in spans}

    def below(parent: str | None, depth: int) -> list[tuple[int, str]]:
        lines = []
        for span in spans:
            root = span.parent_span_id is None or span.parent_span_id not in ids
            if (parent is None and root) or (parent is not None and span.parent_span_id == parent):
                lines.append((depth, span.name.replace("support.celery_app.", "")))
                lines.extend(below(span.span_id, depth + 1))
        return lines

    return below(None, 0)


def finished(received: Received, trace: str) -> bool:
    """Tell whether the root span of a run has arrived."""
    spans = received.query.trace(trace)
    return any(span.parent_span_id is None for span in spans)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_three_tasks_of_a_chain_are_one_trace_whose_root_is_the_run(
    pool: str, broker: str, received: Received
) -> None:
    """Begun in one process, finished by the last task in another one, after a retry."""
    with worker(broker, received, f"--pool={pool}", "-c2", "--max-tasks-per-child=1") as running:
        run = publish(broker, received, "[extract.s('x'), transform.s(), load.s()]")
        running.wait_for(lambda: running.log.count("task_completed") >= 4, "the end of the chain")
    spans = received.query.trace(run["trace"])
    assert tree(spans) == [
        (0, "pipeline run daily"),
        (1, "apply_async/extract"),
        (2, "run/extract"),
        (3, "step extract"),
        (3, "apply_async/transform"),
        (4, "run/transform"),
        (5, "step transform"),
        (5, "apply_async/load"),
        (6, "run/load"),
        (7, "apply_async/load"),
        (6, "run/load"),
    ]
    (root,) = [span for span in spans if span.parent_span_id is None]
    assert (root.start_ns, root.attributes["pipeline.run.id"], root.status) == (
        run["started_ns"],
        run["run"],
        "unset",
    )
    assert [link.span_id for link in root.links] == [run["request"]]
    assert received.query.sum_latest("pipeline.executions", by=("pipeline.name", "status")) == {
        ("daily", "success"): 1
    }
    assert received.query.sum_latest(
        "task.executions", by=("pipeline.name", "task.type", "status")
    ) == {
        ("daily", "extract", "success"): 1,
        ("daily", "transform", "success"): 1,
        ("daily", "load", "retried"): 1,
        ("daily", "load", "success"): 1,
        ("unknown", "other", "success"): 1,
    }
    by_request = received.query.spans(name="apply_async/support.celery_app.work")
    assert [span.parent_span_id for span in by_request] == [run["request"]]


def test_an_error_callback_finishes_the_run_in_its_trace(broker: str, received: Received) -> None:
    """The errback of a broken chain knows the run, and ends it as failed."""
    with worker(broker, received, "--pool=prefork", "-c2", "--max-tasks-per-child=1") as running:
        run = publish(
            broker, received, "[extract.s('x'), breaks.s(), load.s()]", "link_error=give_up.s()"
        )
        running.wait_for(lambda: running.log.count("task_completed") >= 3, "the error callback")
    spans = received.query.trace(run["trace"])
    assert tree(spans) == [
        (0, "pipeline run daily"),
        (1, "apply_async/extract"),
        (2, "run/extract"),
        (3, "step extract"),
        (3, "apply_async/breaks"),
        (4, "run/breaks"),
        (5, "apply_async/give_up"),
        (6, "run/give_up"),
    ]
    assert received.query.sum_latest("pipeline.executions", by=("status",)) == {("failed",): 1}
    assert {log.trace_id for log in received.query.logs(where={"pipeline.run.id": run["run"]})} == {
        run["trace"]
    }


def test_log_records_of_a_run_are_found_by_its_trace_and_its_id(
    broker: str, received: Received
) -> None:
    """A record that the application writes in a task carries trace, task and run."""
    with worker(broker, received, "--pool=solo") as running:
        run = publish(broker, received, "[extract.s('x')]")
        running.wait_for(lambda: running.log.count("task_completed") >= 2, "the task")
    (record,) = [log for log in received.query.logs() if log.body == "extracted"]
    assert record.trace_id == run["trace"]
    assert {
        key: record.attributes.get(key)
        for key in ("pipeline.run.id", "pipeline.name", "pipeline.organization", "task.name")
    } == {
        "pipeline.run.id": run["run"],
        "pipeline.name": "daily",
        "pipeline.organization": "acme",
        "task.name": "support.celery_app.extract",
    }
