"""What is seen of a task while it runs, and of the processes that it starts; real workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.broker import broker, broker_server
from support.celery_traces import APP, deliveries, deliveries_of, published
from support.celery_worker import Received, received, worker

__all__ = ["broker", "broker_server", "received"]


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
        assert received.query.sum_latest("step.rows.expected", by=by) == {("daily", "load"): 10}
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
        before = _exports(received)
        running.wait_for(lambda: _exports(received) > before + 3, "some exports more")
        assert len(received.query.series("step.heartbeat.age")[0].points) == told
    by = ("pipeline.name", "step.type")
    assert received.query.sum_latest("step.rows.done", by=by) == {("daily", "load"): 0}


def _exports(received: Received) -> int:
    """Return how often the worker has told how many slots it has: at each export."""
    return len(received.query.series("celery.worker.pool.size")[0].points)


def _age(received: Received) -> Any:
    """Return the last value of the only series of signs of life."""
    series = received.query.series("step.heartbeat.age")
    assert len(series) <= 1
    return series[0].points[-1].value if series else 0
