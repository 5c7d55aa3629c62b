"""What a trace shows of tasks: siblings, waits, canvas, links; real workers, whole spans."""

from __future__ import annotations

import json
from typing import Any

import pytest

from etl_telemetry.viewer.records import Span
from support.broker import broker, broker_server
from support.celery_worker import Received, received, run_script, worker

__all__ = ["broker", "broker_server", "received"]

APP = "support.celery_canvas"
IMPORT = """
from celery import chain, chord, group
from opentelemetry import trace
from etl_telemetry import pipelines
from support.celery_canvas import *
tracer = trace.get_tracer("web")
"""


def published(script: str, broker: str, received: Received, **variables: str) -> str:
    """Run a publisher in a process of its own; return what it prints."""
    return run_script(IMPORT + script, broker, received, **variables)


def deliveries(received: Received, name: str) -> list[Span]:
    """Return the deliveries of a task, in the order of their begin."""
    return received.query.spans(name=f"run/{APP}.{name}")


def told(span: Span) -> dict[str, Any]:
    """Return the attributes of a delivery that are the same in each run of the test."""
    found = {k: v for k, v in span.attributes.items() if not k.startswith("task.queue.wait.")}
    assert str(found.pop("messaging.client.id")).startswith("celery@")
    assert found.pop("messaging.message.id")
    return found


COMMON = {
    "messaging.system": "celery",
    "messaging.operation.type": "process",
    "messaging.operation.name": "run",
    "messaging.destination.name": "jobs",
    "task.type": "other",
    "task.priority": 0,
}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_retries_are_siblings_each_linked_to_the_one_before(
    pool: str, broker: str, received: Received
) -> None:
    """Two failures are three deliveries side by side, with number, reason and wait."""
    script = """
with pipelines.begin_run("daily", organization="acme", run_id="7"):
    flaky.delay(1, failures=2)
"""
    with worker(broker, received, f"--pool={pool}", "-c2", app=APP) as running:
        published(script, broker, received)
        running.wait_for(lambda: running.log.count("task_completed") >= 1, "the third delivery")
    first, second, third = deliveries(received, "flaky")
    (publish, *again) = received.query.spans(name=f"apply_async/{APP}.flaky")
    assert {s.parent_span_id for s in (first, second, third)} == {publish.span_id}
    assert [s.parent_span_id for s in again] == [first.span_id, second.span_id]
    assert [[link.span_id for link in s.links] for s in (first, second, third)] == [
        [], [first.span_id], [second.span_id],
    ]  # fmt: skip
    common = {
        **COMMON,
        "task.name": f"{APP}.flaky",
        "task.pool": pool,
        "pipeline.name": "daily",
        "pipeline.organization": "acme",
        "pipeline.run.id": "7",
    }
    assert told(first) == {**common, "task.status": "retried", "error.type": "OSError"}
    for number, span in ((1, second), (2, third)):
        found = told(span)
        assert found.pop("task.eta")
        assert 0 < found.pop("task.retry.wait") <= 0.2
        ended = {"task.status": "success"}
        if span is second:
            ended = {"task.status": "retried", "error.type": "OSError"}
        assert found == {
            **common,
            **ended,
            "task.retry.number": number,
            "task.retry.reason": "OSError: no route to password=REDACTED",
        }
    for span in (second, third):
        waited = {k: v for k, v in span.attributes.items() if k.startswith("task.queue.wait.")}
        assert set(waited) == {f"task.queue.wait.{p}" for p in ("retry", "broker", "prefetch")}
        assert 0 < waited["task.queue.wait.retry"] <= 0.2
    counted = received.query.sum_latest("task.queue.wait", by=("queue.name", "phase"))
    assert {key: value.count for key, value in counted.items()} == {
        ("jobs", "broker"): 3, ("jobs", "prefetch"): 3, ("jobs", "retry"): 2,
    }  # fmt: skip


def test_without_telemetry_on_the_publisher_the_first_delivery_holds_its_retries(
    broker: str, received: Received
) -> None:
    """One trace, one level deep, though nobody named a parent; the first wait is not known."""
    with worker(broker, received, "--pool=prefork", "-c2", app=APP) as running:
        published("flaky.delay(1, failures=3)", broker, received, SET_UP_IN="nowhere")
        running.wait_for(lambda: running.log.count("task_completed") >= 1, "the last delivery")
    first, *retries = deliveries(received, "flaky")
    assert first.parent_span_id is None
    assert len(retries) == 3
    assert {(s.trace_id, s.parent_span_id) for s in retries} == {(first.trace_id, first.span_id)}
    assert [s.links[0].span_id for s in retries] == [s.span_id for s in (first, *retries[:2])]
    assert [k for k in first.attributes if k.startswith("task.queue.wait")] == [
        "task.queue.wait.prefetch"
    ]


CHORDS = {
    "results": ("chord([add.s(1, 2), flaky.s(4), add.s(5, 6)], total.s())", 3, "total"),
    "immutable body": ("chord([add.s(1, 2), add.s(3, 4)], done.si())", 2, "done"),
    "nested group": (
        "chord(group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))), total.s())", 3, "total",
    ),
    "chain in the header": (
        "chord([chain(add.s(1, 2), add.s(3)), add.s(4, 5)], total.s())", 2, "total",
    ),
    "chain as the body": (
        "chord([add.s(1, 2), add.s(3, 4)], chain(total.s(), add.s(1)))", 2, "total",
    ),
    "generator": ("chord((add.s(n, n) for n in range(3)), total.s())", 3, "total"),
    "chain that becomes a chord": ("chain(group(add.s(1, 2), add.s(3, 4)), total.s())", 2, "total"),
}  # fmt: skip
PLAY = """
import json
ids = {{}}
for name, result in {{ {canvases} }}.items():
    result.get(timeout=100)
    ids[name] = result.id
print(json.dumps(ids))
"""


@pytest.mark.parametrize("backend", ["redis", "file"])
def test_the_body_of_a_chord_links_to_every_task_of_its_header(
    backend: str, broker: str, received: Received
) -> None:
    """Whatever the canvas and the result backend: one link for each header task, one trace.

    Published outside of any span. A backend of files joins by polling (`celery.chord_unlock`).
    """
    variables = {}
    if backend == "file":
        (received.folder / "results").mkdir()
        variables["BACKEND"] = f"file://{received.folder}/results"
    canvases = ", ".join(f"{name!r}: ({code}).apply_async()" for name, (code, *_) in CHORDS.items())
    with worker(broker, received, "--pool=threads", "-c4", app=APP, variables=variables) as running:
        script = PLAY.format(canvases=canvases)
        ids: dict[str, str] = json.loads(published(script, broker, received, **variables))
        running.wait_for(
            lambda: all(f"[{task}] succeeded" in running.log for task in ids.values()), "the ends"
        )
    for name, (_, size, body_name) in CHORDS.items():
        end, *_ = received.query.spans(where={"messaging.message.id": ids[name]})
        trace = [s for s in received.query.trace(end.trace_id) if s.kind == "consumer"]
        (body,) = [s for s in trace if s.attributes.get("celery.canvas.kind") == "chord_body"]
        header = [
            span.span_id
            for span in trace
            if span.attributes.get("celery.canvas.kind") == "chord"
            and "task.retry.number" not in span.attributes
        ]
        assert (name, body.name, len(header)) == (name, f"run/{APP}.{body_name}", size)
        links = {(link.trace_id, link.span_id) for link in body.links}
        assert links == {(end.trace_id, span_id) for span_id in header}, name
    roots = [s.name for s in received.query.spans() if s.parent_span_id is None]
    assert sorted(roots) == sorted(
        f"chord {APP}.done"
        if "immutable" in name
        else "chord celery.chain"
        if name == "chain as the body"
        else f"chord {APP}.total"
        for name in CHORDS
    )
