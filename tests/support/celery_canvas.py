"""The Celery application of the tests on traces: `-A support.celery_canvas`.

From the environment, as in `celery_app`: `BROKER`, and `SET_UP_IN=nowhere` for a publisher without
telemetry. `BACKEND` is another result backend. `BEAT` switches a schedule on.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery, Task

from etl_telemetry import pipelines, tracing
from etl_telemetry.setup import setup_telemetry

BROKER = os.environ["BROKER"]
app = Celery("jobs", broker=BROKER, backend=os.environ.get("BACKEND", BROKER))
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="jobs",
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "1")),
    task_publish_retry=False,
    result_chord_retry_interval=0.2,
    beat_schedule={"tick": {"task": "support.celery_canvas.done", "schedule": 1.0}}
    if "BEAT" in os.environ
    else {},
)
if os.environ.get("SET_UP_IN") != "nowhere":
    setup_telemetry(service_name="jobs")


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


@app.task
def total(numbers: Sequence[int]) -> int:
    """Be the body of a chord."""
    return sum(numbers)


@app.task
def done() -> None:
    """Be the body of a chord that takes no results."""


@app.task(bind=True, max_retries=5)
def flaky(self: Task[Any, Any], number: int, failures: int = 1) -> int:
    """Fail some times, each with personal data in the message."""
    if self.request.retries < failures:
        raise self.retry(exc=OSError("no route to password=hunter2"), countdown=0.2)
    return number


@app.task
def fail() -> None:
    """Fail."""
    raise ValueError("boom")


@app.task
def give_up(task_id: str) -> None:
    """Be an error callback."""


@app.task
def sleep(seconds: float) -> None:
    """Take a while."""
    time.sleep(seconds)


@app.task
def look(key: str) -> str | None:
    """Ask Redis for something of the application's own."""
    with redis.Redis.from_url(BROKER) as client:
        found: Any = client.get(key)
    return None if found is None else str(found)


@app.task
def fan_out(number: int) -> None:
    """Publish many tasks."""
    for index in range(number):
        add.delay(index, 1)


@app.task
def baggage() -> dict[str, str]:
    """Return the baggage that arrived."""
    from opentelemetry import baggage

    return {key: str(value) for key, value in baggage.get_all().items()}


CHILD = """
from etl_telemetry import continue_trace, setup_telemetry, span

setup_telemetry(service_name="child")
with continue_trace(), span("in a subprocess"):
    pass
"""


def work(name: str) -> None:
    """Do something that makes a span, in a process of its own."""
    with tracing.span(name):
        pass


@app.task
def parent(*methods: str) -> None:
    """Start a subprocess, and children of `multiprocessing` by these start methods."""
    subprocess.run([sys.executable, "-c", CHILD], check=True)
    for method in methods:
        process = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
            target=pipelines.in_child(work), args=(f"in a child by {method}",)
        )
        process.start()
        process.join()
        assert process.exitcode == 0


@app.task
def long_step(path: str) -> None:
    """Report progress, until a file appears."""
    with pipelines.step("load", rows_total=10) as step:
        step.add_rows(read=3)
        while not os.path.exists(path):  # noqa: PTH110 - a test's flag
            time.sleep(0.05)
