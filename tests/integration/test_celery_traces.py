"""What a trace shows of tasks: siblings, waits, canvas, links; real workers, whole spans."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from etl_telemetry.catalogue import CHORD_SPAN, DELIVERY_SPAN, PUBLISH_SPAN
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


def deliveries_of(log: str) -> int:
    """Count the deliveries that ended well."""
    return log.count("task_completed")


def ended(log: str, task: str) -> int:
    """Count the deliveries of a task that ended well."""
    return len(re.findall(rf"Task {APP}\.{task}\[[^]]*\] succeeded", log))


def assert_declared(received: Received) -> None:
    """Every attribute of a publish and of a delivery is in the catalogue, and no other."""
    for entry in (PUBLISH_SPAN, DELIVERY_SPAN, CHORD_SPAN):
        spans = [s for s in received.query.spans() if s.name.startswith(entry.name.split("{")[0])]
        found = {key for span in spans for key in span.attributes}
        assert found <= set(entry.attributes), entry.name
        assert {span.kind for span in spans} <= {entry.kind}


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
    assert_declared(received)
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
    assert_declared(received)
    roots = [s.name for s in received.query.spans() if s.parent_span_id is None]
    assert sorted(roots) == sorted(
        f"chord {APP}.done"
        if "immutable" in name
        else "chord celery.chain"
        if name == "chain as the body"
        else f"chord {APP}.total"
        for name in CHORDS
    )


def test_chords_in_chords_link_each_to_their_own_header(broker: str, received: Received) -> None:
    """The body of the inner chord is a task of the outer one's header: both links are there."""
    script = """
inner = chord([add.s(1, 2), add.s(3, 4)], total.s())
print(chord([inner, add.s(5, 6)], total.s()).apply_async().get(timeout=100))
"""
    with worker(broker, received, "--pool=threads", "-c2", app=APP) as running:
        assert published(script, broker, received) == "21"
        running.wait_for(lambda: deliveries_of(running.log) >= 5, "the bodies")
    inner, outer = deliveries(received, "total")
    adds = deliveries(received, "add")
    groups = Counter(s.attributes["celery.canvas.group_id"] for s in adds)
    in_inner = [s.span_id for s in adds if groups[s.attributes["celery.canvas.group_id"]] == 2]
    assert len({s.trace_id for s in (inner, outer, *adds)}) == 1
    assert sorted(link.span_id for link in inner.links) == sorted(in_inner)
    (rest,) = {s.span_id for s in adds} - set(in_inner)
    assert sorted(link.span_id for link in outer.links) == sorted([inner.span_id, rest])


def test_a_wait_is_told_by_what_was_waited_for(broker: str, received: Received) -> None:
    """The countdown, the broker while no worker ran, and a worker whose one process is busy."""
    script = """
sleep.delay(1.5)
add.apply_async((1, 2), countdown=0.5)
add.apply_async((3, 4), priority=3)
"""
    published(script, broker, received)
    variables = {"PREFETCH": "8"}
    with worker(broker, received, "-c1", app=APP, variables=variables) as running:
        running.wait_for(lambda: deliveries_of(running.log) >= 3, "three deliveries")
    by_priority = {s.attributes["task.priority"]: s for s in deliveries(received, "add")}
    later, held = by_priority[0], by_priority[3]
    waits = {
        name: {
            key.removeprefix("task.queue.wait."): value
            for key, value in span.attributes.items()
            if key.startswith("task.queue.wait.")
        }
        for name, span in (("later", later), ("held", held))
    }
    assert {name: set(found) for name, found in waits.items()} == {
        "later": {"eta", "broker", "prefetch"},
        "held": {"broker", "prefetch"},
    }
    assert 0 < waits["later"]["eta"] <= 0.5
    assert waits["held"]["prefetch"] > 0
    assert waits["held"]["broker"] > 0
    assert "task.eta" in later.attributes
    for span in (later, held):
        (publish,) = received.query.spans(span_id=span.parent_span_id)
        waited = sum(v for k, v in span.attributes.items() if k.startswith("task.queue.wait."))
        since = (span.start_ns - publish.start_ns) / 1e9
        assert 0 < waited <= since
        assert publish.attributes.get("task.eta") == span.attributes.get("task.eta")
        assert publish.attributes.get("task.priority", 0) == span.attributes["task.priority"]


def test_beat_a_long_eta_and_a_large_fan_out_are_linked(broker: str, received: Received) -> None:
    """A trace of their own, with a link to the publish, its baggage and its sampling decision."""
    script = """
from opentelemetry import baggage as carried, context
with tracer.start_as_current_span("GET /"):
    context.attach(carried.set_baggage("tenant", "acme"))
    later = baggage.apply_async(countdown=0.4)
    fan_out.delay(4)
    with pipelines.begin_run("daily", organization="acme"):
        fan_out.delay(4)
print(later.get(timeout=100))
"""
    variables = {"ETL_TELEMETRY_TASK_LINK_FAN_OUT": "2", "ETL_TELEMETRY_TASK_LINK_ETA": "0.2"}
    with worker(
        broker, received, "--pool=threads", "-c4", "--beat", app=APP,
        variables={**variables, "BEAT": "yes"},
    ) as running:  # fmt: skip
        assert published(script, broker, received, **variables) == "{'tenant': 'acme'}"
        running.wait_for(
            lambda: ended(running.log, "add") == 8 and ended(running.log, "done") >= 2,
            "all, and two ticks of beat",
        )
    spans = {span.span_id: span for span in received.query.spans()}
    linked = [s for s in spans.values() if "task.link.reason" in s.attributes]
    reasons: dict[str, list[Span]] = {}
    for span in linked:
        if span.kind == "consumer":
            reasons.setdefault(str(span.attributes["task.link.reason"]), []).append(span)
    assert {reason: len(found) for reason, found in reasons.items() if reason != "beat"} == {
        "eta": 1, "fan_out": 2,
    }  # fmt: skip
    assert len(reasons["beat"]) >= 2
    for span in linked:
        if span.kind != "consumer":
            continue
        assert span.parent_span_id is None
        (link,) = span.links
        publish = spans[link.span_id]
        assert publish.kind == "producer"
        assert publish.trace_id == link.trace_id != span.trace_id
        assert link.attributes == {"task.link.reason": span.attributes["task.link.reason"]}
        assert publish.attributes["task.link.reason"] == span.attributes["task.link.reason"]
    in_runs = [s for s in deliveries(received, "add") if "pipeline.run.id" in s.attributes]
    assert len(in_runs) == 4
    assert {s.trace_id for s in in_runs} == {
        s.trace_id for s in deliveries(received, "fan_out") if "pipeline.run.id" in s.attributes
    }


def test_a_linked_trace_keeps_the_sampling_decision(broker: str, received: Received) -> None:
    """What its publisher does not sample is not sampled, and the other way round."""
    script = "baggage.apply_async(countdown=0.4).get(timeout=100)"
    eta = {"ETL_TELEMETRY_TASK_LINK_ETA": "0.2"}
    off = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    with worker(broker, received, "--pool=solo", app=APP, variables=off):
        published(script, broker, received, **eta)
        published(script, broker, received, **eta, **off)
    assert len(deliveries(received, "baggage")) == 1


def test_canvas_is_told_on_the_spans(broker: str, received: Received) -> None:
    """What each task is in its canvas, whose child, and of which group."""
    script = """
with pipelines.begin_run("daily", organization="acme"):
    results = [
        chain(add.s(1, 2), add.s(3), add.s(4)).apply_async(),
        group(add.s(1, 2), add.s(3, 4)).apply_async(),
        add.starmap([(1, 2), (3, 4)]).apply_async(),
        add.chunks([(n, n) for n in range(4)], 2).apply_async(),
        total.map([[1, 2], [3]]).apply_async(),
    ]
    fail.apply_async(link_error=give_up.s())
[result.get(timeout=100) for result in results]
"""
    with worker(broker, received, "--pool=threads", "-c2", app=APP) as running:
        published(script, broker, received)
        running.wait_for(lambda: deliveries_of(running.log) >= 10, "ten deliveries")
    found = [s for s in received.query.spans() if s.kind == "consumer"]
    assert len({s.trace_id for s in found}) == 1
    kinds: dict[str, list[Span]] = {}
    for span in found:
        kinds.setdefault(str(span.attributes.get("celery.canvas.kind")), []).append(span)
    assert {kind: len(spans) for kind, spans in kinds.items()} == {
        "chain": 3, "group": 2, "starmap": 3, "map": 1, "errback": 1, "None": 1,
    }  # fmt: skip
    first, *rest = kinds["chain"]
    root = first.attributes["messaging.message.id"]
    assert {s.attributes["celery.canvas.root_id"] for s in kinds["chain"]} == {root}
    assert [s.attributes["celery.canvas.parent_id"] for s in rest] == [
        s.attributes["messaging.message.id"] for s in (first, rest[0])
    ]
    assert {s.attributes["celery.canvas.group_index"] for s in kinds["group"]} == {0, 1}
    assert len({s.attributes["celery.canvas.group_id"] for s in kinds["group"]}) == 1
    sizes = [
        (s.attributes["celery.canvas.task"], s.attributes["celery.canvas.size"])
        for s in kinds["starmap"] + kinds["map"]
    ]
    assert sizes == [(f"{APP}.add", 2)] * 3 + [(f"{APP}.total", 2)]
    (errback,) = kinds["errback"]
    (failed,) = kinds["None"]
    assert (
        errback.attributes["celery.canvas.parent_id"] == failed.attributes["messaging.message.id"]
    )
    assert (failed.status, failed.attributes["error.type"]) == ("error", "ValueError")
    assert [event.name for event in failed.events] == ["exception"]
    assert_declared(received)


def test_messages_of_the_version_before_are_read(broker: str, received: Received) -> None:
    """A rolling upgrade: trace context and run header as version 0.1.0 wrote them, nothing more."""
    script = """
from opentelemetry.instrumentation.utils import suppress_instrumentation
run = pipelines.Run(id="7", name="daily", organization="acme", started_ns=1_760_000_000_000_000_000)
parent = f"00-{run.trace_id}-00000000000000ab-01"
header = '{"v":1,"id":"7","name":"daily","organization":"acme","started_ns":1760000000000000000}'
with suppress_instrumentation():
    flaky.apply_async((1,), headers={"traceparent": parent, "etl_telemetry_run": header})
print(run.trace_id)
"""
    with worker(broker, received, "--pool=solo", app=APP) as running:
        trace_id = published(script, broker, received)
        running.wait_for(lambda: deliveries_of(running.log) >= 1, "the retry")
    first, second = deliveries(received, "flaky")
    for span in (first, second):
        assert (span.trace_id, span.parent_span_id) == (trace_id, f"{0xAB:016x}")
        assert span.attributes["pipeline.run.id"] == "7"
    assert [link.span_id for link in second.links] == [first.span_id]


@pytest.mark.parametrize(("pool", "methods"), [("prefork", ()), ("solo", ("fork", "spawn"))])
def test_child_processes_of_a_task_go_on_with_its_trace(
    pool: str, methods: tuple[str, ...], broker: str, received: Received
) -> None:
    """Their spans are children of the delivery; Celery's own commands to Redis make none."""
    script = f"""
with pipelines.begin_run("daily", organization="acme"):
    parent.delay(*{methods!r}).get(timeout=100)
    look.delay("key").get(timeout=100)
"""
    with worker(broker, received, f"--pool={pool}", "-c1", app=APP):
        published(script, broker, received)
    (delivery,) = deliveries(received, "parent")
    inside = [s for s in received.query.spans() if s.parent_span_id == delivery.span_id]
    assert sorted((s.trace_id, s.name) for s in inside) == sorted(
        (delivery.trace_id, name)
        for name in ("in a subprocess", *(f"in a child by {method}" for method in methods))
    )
    (looked,) = deliveries(received, "look")
    commands = [(s.name, s.parent_span_id) for s in received.query.spans() if s.kind == "client"]
    assert commands == [("GET", looked.span_id)]


def test_a_long_step_is_seen_while_it_runs(broker: str, received: Received) -> None:
    """Rows done and the age of the last sign of life arrive before the task has ended."""
    flag = received.folder / "go on"
    script = f"""
with pipelines.begin_run("daily", organization="acme", run_id="7"):
    long_step.delay({str(flag)!r})
"""
    by = ("pipeline.name", "step.type")
    with worker(
        broker, received, "-c1", app=APP, variables={"OTEL_METRIC_EXPORT_INTERVAL": "200"}
    ) as running:
        published(script, broker, received)
        running.wait_for(
            lambda: received.query.sum_latest("step.rows.done", by=by) == {("daily", "load"): 3},
            "the progress",
        )
        ages = received.query.sum_latest("step.heartbeat.age", by=by)
        assert list(ages) == [("daily", "load")]
        # It is silent now; its worker's main process tells so, at each of its own exports.
        running.wait_for(
            lambda: _age(received) > ages["daily", "load"] + 1, "an older sign of life"
        )
        running.wait_for(
            lambda: (
                [t.name for r in received.query.runs(status="running") for t in r.running]
                == [f"{APP}.long_step"]
            ),
            "the running task",
        )
        (run,) = received.query.runs()
        assert (run.run_id, run.name, run.organization, run.ended_ns) == (
            "7",
            "daily",
            "acme",
            None,
        )
        flag.touch()
        running.wait_for(lambda: deliveries_of(running.log) >= 1, "the end")
    assert received.query.sum_latest("step.rows.done", by=by) == {("daily", "load"): 0}
    (run,) = received.query.runs()
    assert (run.running, run.ended_ns) == ((), None)  # Nobody has called `finish_run`.


def test_the_sign_of_life_of_a_killed_task_ends_with_it(broker: str, received: Received) -> None:
    """It is told once more, as 0, as that of any step that ends; its rows are gone."""
    script = f"""
with pipelines.begin_run("daily", organization="acme"):
    long_step.delay({str(received.folder / "never")!r})
"""
    with worker(
        broker, received, "-c1", app=APP, variables={"OTEL_METRIC_EXPORT_INTERVAL": "200"}
    ) as running:
        published(script, broker, received)
        running.wait_for(lambda: _age(received) > 0, "a sign of life")
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        (child,) = map(int, children.read_text().split())
        os.kill(child, signal.SIGKILL)
        running.wait_for(lambda: _age(received) == 0, "the end of its series")
        told = len(received.query.series("step.heartbeat.age")[0].points)
        time.sleep(1)  # Some exports more.
        assert len(received.query.series("step.heartbeat.age")[0].points) == told
    by = ("pipeline.name", "step.type")
    assert received.query.sum_latest("step.rows.done", by=by) == {("daily", "load"): 0}


def _age(received: Received) -> Any:
    """Return the last value of the only series of signs of life."""
    series = received.query.series("step.heartbeat.age")
    assert len(series) <= 1
    return series[0].points[-1].value if series else 0
