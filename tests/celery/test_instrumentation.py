"""Which part of Celery's telemetry is OpenTelemetry's instrumentor and which is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task, chord, signals
from celery.app.trace import build_tracer
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from etl_telemetry import pipelines
from etl_telemetry.catalogue import RUN_HEADER
from etl_telemetry.celery.instrumentation import instrument
from etl_telemetry.config import Config
from etl_telemetry.pipelines import Run
from etl_telemetry.runtime import propagation
from support.telemetry import Telemetry

RUN = Run(id="7", name="daily", organization="acme", started_ns=1_000)
REPLACED = (
    "before_task_publish", "after_task_publish", "task_prerun", "task_postrun", "task_failure",
    "task_retry",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    propagation.install(["tracecontext", "baggage"])
    assert not CeleryInstrumentor().is_instrumented_by_opentelemetry
    yield
    assert not CeleryInstrumentor().is_instrumented_by_opentelemetry


def theirs(*names: str) -> dict[str, int]:
    """Count the receivers of OpenTelemetry's instrumentor by signal."""
    return {
        name: sum(
            receiver.__qualname__.startswith("CeleryInstrumentor.")
            for _, receiver in getattr(signals, name).receivers
        )
        for name in names
    }


def run_one(app: Celery) -> list[Run | None]:
    """Run a task of a run as a worker does; return the run that it saw."""
    inside: list[Run | None] = []

    @app.task(name="shop.extract", shared=False)
    def extract() -> None:
        inside.append(pipelines.current_run())

    app.finalize()
    request = {"id": "1", "delivery_info": {}, "is_eager": False, RUN_HEADER: RUN.to_header()}
    build_tracer("shop.extract", app.tasks["shop.extract"], app=app)("1", (), {}, request)
    return inside


def test_the_instrumentor_has_the_receivers_that_ours_replace() -> None:
    """A release of the instrumentor that renames or drops one turns this red."""
    CeleryInstrumentor().instrument()
    try:
        assert theirs(*REPLACED) == dict.fromkeys(REPLACED, 1)
    finally:
        CeleryInstrumentor().uninstrument()


def test_ours_stand_in_for_theirs_and_uninstrument_restores_everything() -> None:
    """All six are unplugged; nothing remains afterwards."""
    before = {name: len(getattr(signals, name).receivers) for name in dir(signals)
              if isinstance(getattr(signals, name), signals.Signal)}  # fmt: skip
    methods = (Celery.send_task, Task.retry, chord.run)
    undo = instrument(CeleryInstrumentor(), Config())
    assert undo is not None
    assert theirs(*REPLACED) == dict.fromkeys(REPLACED, 0)
    assert not set(methods) & {Celery.send_task, Task.retry, chord.run}
    undo()
    assert (Celery.send_task, Task.retry, chord.run) == methods
    after = {name: len(getattr(signals, name).receivers) for name in before}
    assert after == before


def test_an_instrumentor_that_was_active_before_us_is_completed_and_stays(
    seen: Telemetry,
) -> None:
    """Under `opentelemetry-instrument` there is one span per task, and runs travel."""
    CeleryInstrumentor().instrument()
    try:
        undo = instrument(CeleryInstrumentor(), Config())
        assert undo is not None
        assert run_one(Celery("jobs", set_as_current=False)) == [RUN]
        undo()
        assert CeleryInstrumentor().is_instrumented_by_opentelemetry
        assert theirs(*REPLACED) == dict.fromkeys(REPLACED, 1)
    finally:
        CeleryInstrumentor().uninstrument()
    assert [span.name for span in seen.spans()] == ["run/shop.extract"]


def test_without_an_instrumentor_runs_and_counts_stay(seen: Telemetry) -> None:
    """Where ddtrace makes the task spans, ours are left out, and nothing else is."""
    undo = instrument(None, Config())
    assert undo is not None
    try:
        assert run_one(Celery("jobs", set_as_current=False)) == [RUN]
    finally:
        undo()
    assert seen.spans() == ()
    assert list(seen.values()) == ["task.executions", "task.execution.duration"]


def test_the_instrumentors_own_metric_does_not_leave_the_process(seen: Telemetry) -> None:
    """`flower.task.runtime.seconds` has a host label and the wrong buckets."""
    undo: Any = instrument(CeleryInstrumentor(), Config())
    try:
        run_one(Celery("jobs", set_as_current=False))
    finally:
        undo()
    assert list(seen.values()) == ["task.executions", "task.execution.duration"]
