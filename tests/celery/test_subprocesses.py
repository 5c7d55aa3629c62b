"""Subprocesses of a task go on with its trace, without a word of the task."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from etl_telemetry.celery import subprocesses
from etl_telemetry.celery.instrumentation import instrument
from etl_telemetry.config import Config
from etl_telemetry.runtime import propagation
from support.telemetry import Telemetry

TELL = [
    sys.executable,
    "-c",
    "import os; print(os.environ.get('TRACEPARENT'), os.environ.get('X'))",
]


@pytest.fixture(autouse=True)
def _propagators() -> Iterator[None]:
    propagation.install(["tracecontext", "baggage"])
    before = vars(subprocess.Popen)["__init__"]
    yield
    assert vars(subprocess.Popen)["__init__"] is before


def deliver(body: Callable[[], Any]) -> None:
    """Run ``body`` as a worker runs a task."""
    body.__name__ = "body"
    app = Celery("jobs", broker="memory://", set_as_current=False)
    task: Any = app.task(name="shop.convert", shared=False)(body)
    app.finalize()
    request = {"id": "1", "delivery_info": {"routing_key": "jobs"}, "is_eager": False}
    build_tracer(task.name, app.tasks[task.name], app=app)("1", (), {}, request)


def plain() -> list[str]:
    """Say nothing of an environment."""
    return subprocess.check_output(TELL, text=True).split()


def with_environment() -> list[str]:
    """Give an environment by name."""
    return subprocess.check_output(TELL, text=True, env={**os.environ, "X": "x"}).split()


def by_position() -> list[str]:
    """Give an environment by its place."""
    options = (-1, None, None, subprocess.PIPE, None, None, True, False, None, {"X": "x"})
    with subprocess.Popen(TELL, *options) as process:
        output, _ = process.communicate()
    return output.decode().split()


def of_asyncio() -> list[str]:
    """Start it from a coroutine."""

    async def main() -> list[str]:
        process = await asyncio.create_subprocess_exec(*TELL, stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        return output.decode().split()

    return asyncio.run(main())


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize(
    ("start", "x"),
    [(plain, "None"), (with_environment, "x"), (by_position, "x"), (of_asyncio, "None")],
)
def test_a_subprocess_of_a_task_finds_its_trace(
    start: Callable[[], list[str]], x: str, seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is started; what the worker itself was started in is not told on."""
    monkeypatch.setenv("TRACEPARENT", f"00-{1:032x}-{1:016x}-01")
    told: list[list[str]] = []
    deliver(lambda: told.append(start()))
    context = seen.span("run/shop.convert").context
    assert told == [[f"00-{context.trace_id:032x}-{context.span_id:016x}-03", x]]


@pytest.mark.usefixtures("instrumented")
def test_what_the_task_says_itself_wins(seen: Telemetry) -> None:
    """A trace that it hands over is not replaced."""
    told: list[str] = []
    own = {**os.environ, "TRACEPARENT": "own"}
    deliver(lambda: told.append(subprocess.check_output(TELL, text=True, env=own).split()[0]))
    assert told == ["own"]


@pytest.mark.usefixtures("instrumented")
def test_outside_of_a_task_nothing_is_added() -> None:
    """The application's other subprocesses are none of ours."""
    assert plain()[0] == "None"


def test_it_can_be_switched_off(seen: Telemetry) -> None:
    """`task_subprocesses=False` leaves `subprocess` as it is."""
    undo = instrument(CeleryInstrumentor(), Config(task_subprocesses=False))
    assert undo is not None
    told: list[list[str]] = []
    try:
        deliver(lambda: told.append(plain()))
    finally:
        undo()
    assert told == [["None", "None"]]


@pytest.mark.usefixtures("instrumented")
def test_an_error_of_ours_costs_the_trace_not_the_subprocess(
    seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as if we were not there."""
    monkeypatch.setattr(subprocesses.pipelines, "child_environment", lambda _: 1 / 0)
    told: list[list[str]] = []
    deliver(lambda: told.append(plain()))
    assert told == [["None", "None"]]
