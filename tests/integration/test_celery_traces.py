"""What a trace shows of tasks: retries, waits, links; real workers, whole spans."""

from __future__ import annotations

from typing import Any

import pytest

from etl_telemetry.viewer.records import Span
from support.broker import broker, broker_server
from support.celery_traces import APP, assert_declared, deliveries, deliveries_of, ended, published
from support.celery_worker import Received, received, worker

__all__ = ["broker", "broker_server", "received"]


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
    counted = received.query.sum_latest("task.queue.wait", by=("queue.name", "phase"))
    assert {key: value.count for key, value in counted.items()} == {
        ("jobs", "eta"): 1, ("jobs", "broker"): 3, ("jobs", "prefetch"): 3,
    }  # fmt: skip
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


@pytest.mark.parametrize(
    ("publisher", "consumer", "kept"), [("on", "off", 2), ("off", "on", 0)], ids=["kept", "dropped"]
)
def test_a_child_and_a_linked_trace_keep_the_sampling_decision(
    publisher: str, consumer: str, kept: int, broker: str, received: Received
) -> None:
    """It is the publisher's, though its worker would decide otherwise; baggage arrives anyway."""
    script = """
from opentelemetry import baggage as carried, context
context.attach(carried.set_baggage("tenant", "acme"))
tasks = baggage.delay(), baggage.apply_async(countdown=0.4)
print([task.get(timeout=100) for task in tasks])
"""
    eta = {"ETL_TELEMETRY_TASK_LINK_ETA": "0.2"}
    sampler = {way: {"OTEL_TRACES_SAMPLER": f"parentbased_always_{way}"} for way in ("on", "off")}
    with worker(broker, received, "--pool=solo", app=APP, variables=sampler[consumer]):
        told = published(script, broker, received, **eta, **sampler[publisher])
    assert told == "[{'tenant': 'acme'}, {'tenant': 'acme'}]"
    found = deliveries(received, "baggage")
    assert len(found) == kept
    assert [s.parent_span_id is None for s in found] == [False, True][:kept]


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
