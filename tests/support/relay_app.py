"""The Celery application of the matrix: its tasks write down what happened, for comparison.

`TRUTH` names a file. Each delivery appends a line at its begin and one at its end, before its
telemetry is handed over, so that what is written must arrive.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, Task, signals
from celery.exceptions import SoftTimeLimitExceeded
from opentelemetry import metrics, trace

from etl_telemetry.setup import setup_telemetry
from support import budget

app = Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    {
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {"visibility_timeout": 3600},
        "task_default_queue": "jobs",
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }
    | json.loads(os.environ.get("CONF", "{}"))
)
setup_telemetry(service_name="jobs")
# Celery collects garbage before each fork, and billiard parses a line of C in each child, for which
# it imports a parser: most of the time of thousands of children.
signals.worker_ready.connect(lambda **_: gc.freeze(), weak=False)
with suppress(ImportError):
    FFI = importlib.import_module("cffi").FFI
    FFI().cdef("int prctl(int option, unsigned long arg2);")

logger = logging.getLogger("jobs")
tracer = trace.get_tracer("jobs")
meter = metrics.get_meter("jobs")
units = meter.create_counter("jobs.units")
sizes = meter.create_histogram("jobs.sizes", explicit_bucket_boundaries_advisory=[1, 2, 5])
under_way = meter.create_up_down_counter("jobs.under_way")
_truth = Path(os.environ["TRUTH"])


def tell(event: str, task: Task[Any, Any], number: int) -> None:
    """Append a line to the truth, at once and as a whole."""
    line = json.dumps({"event": event, "id": task.request.id, "n": number, "pid": os.getpid()})
    with _truth.open("ab", buffering=0) as file:
        file.write(line.encode() + b"\n")


def measure(task: Task[Any, Any], number: int) -> None:
    """Make one finished span, one log record and a few measurements."""
    with tracer.start_as_current_span("part", attributes={"n": number}):
        pass
    logger.warning("part of %d", number)
    units.add(number)
    sizes.record(number % 7)
    under_way.add(1)
    tell("measured", task, number)


@app.task(bind=True)
def work(self: Task[Any, Any], number: int, pause: float = 0.0) -> int:
    """Do one piece of work, and say so."""
    tell("begun", self, number)
    measure(self, number)
    time.sleep(pause)
    under_way.add(-1)
    tell("ended", self, number)
    return number


@app.task(bind=True)
def fail(self: Task[Any, Any], number: int) -> None:
    """Fail."""
    tell("begun", self, number)
    measure(self, number)
    tell("failed", self, number)
    raise ValueError("on purpose")


@app.task(bind=True)
def die(self: Task[Any, Any], number: int, by: int = signal.SIGKILL) -> None:
    """Be killed, as by the OOM killer."""
    tell("begun", self, number)
    measure(self, number)
    tell("lost", self, number)
    os.kill(os.getpid(), by)
    time.sleep(60)


@app.task(bind=True)
def leave(self: Task[Any, Any], number: int) -> None:
    """Exit within a task."""
    tell("begun", self, number)
    measure(self, number)
    tell("left", self, number)
    sys.exit(3)


@app.task(bind=True)
def hang(self: Task[Any, Any], number: int, seconds: float = 600.0) -> None:
    """Run until somebody ends it."""
    tell("begun", self, number)
    measure(self, number)
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        tell("failed", self, number)
        raise


@app.task(bind=True)
def eat(self: Task[Any, Any], number: int) -> int:
    """Take so much memory that the child is replaced."""
    tell("begun", self, number)
    measure(self, number)
    eaten = bytearray(os.urandom(1_000)) * 60_000
    tell("ended", self, number)
    return len(eaten) - 60_000_000 + number


@app.task(bind=True)
def flood(self: Task[Any, Any], number: int) -> int:
    """Write so many log records while the worker's main process stands still."""
    tell("begun", self, number)
    os.kill(os.getppid(), signal.SIGSTOP)
    try:
        for n in range(number):
            logger.warning("flood %d", n)
            units.add(1)
    finally:
        os.kill(os.getppid(), signal.SIGCONT)
    tell("ended", self, number)
    return number


@app.task(bind=True)
def hold(self: Task[Any, Any], number: int) -> int:
    """Work until the test lets go."""
    tell("begun", self, number)
    measure(self, number)
    while not _truth.with_name("let-go").exists():
        time.sleep(0.05)
    tell("ended", self, number)
    return number


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def die_when_let_go(self: Task[Any, Any], number: int) -> int:
    """Be killed at the first delivery, once the test lets go, and succeed at the second."""
    tell("begun", self, number)
    measure(self, number)
    if not self.request.delivery_info["redelivered"]:
        while not _truth.with_name("let-go").exists():
            time.sleep(0.05)
        tell("lost", self, number)
        os.kill(os.getpid(), signal.SIGKILL)
    tell("ended", self, number)
    return number


@app.task(bind=True)
def count_runs(self: Task[Any, Any], begin: int, end: int) -> None:
    """Count a run and its tasks of each of these pipelines, which belong to 50 organizations."""
    for number in range(begin, end):
        budget.count_runs_of(number)
    tell("ended", self, begin)
