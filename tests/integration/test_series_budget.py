"""The series budget, with real processes that come and go: a worker's children, web workers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from support.broker import broker, broker_server, free_port
from support.budget import PIPELINES
from support.celery_matrix import Matrix, matrix
from support.celery_worker import PATIENCE, TESTS, received
from support.process import environment

__all__ = ["broker", "broker_server", "matrix", "received"]

PROCESSES = 4
LONG = 600.0
"""Seconds for all series to arrive on a busy machine; no measure of speed."""
SLOW = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(int(PATIENCE)), "OTEL_METRIC_EXPORT_INTERVAL": "30000"}
"""An export of all series has the time that it needs on a busy machine, and so has the next."""
PART = PIPELINES // PROCESSES
BUDGET = {
    "pipeline.executions": 2 * PIPELINES,
    "pipeline.execution.duration": 2 * PIPELINES,
    "task.executions": 3 * PIPELINES,
    "task.execution.duration": 3,
    "data.rows.processed": 3 * PIPELINES,
    "data.rows.read": 3 * PIPELINES,
}
"""Series of one writer: a pipeline belongs to one organization, ended in two ways, and ran three
types of tasks."""
CONF = "from etl_telemetry.gunicorn import on_starting\n"
APP = """
import os
from support.budget import count_runs_of
from etl_telemetry import setup_telemetry
setup_telemetry(service_name="web")
def app(environ, start_response):
    begin, end = environ["PATH_INFO"].strip("/").split("-")
    for number in range(int(begin), int(end)):
        count_runs_of(number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def get(url: str) -> str:
    """Ask until the server answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - http, ours
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.timeout(900)
def test_many_pipelines_over_recycled_processes_leave_the_series_of_two(
    matrix: Matrix, tmp_path: Path
) -> None:
    """One writer for the worker, one for the web server; each within the budget, exactly."""
    options = ("--pool=prefork", "-c2", "--max-tasks-per-child=1")
    query = matrix.received.query

    def arrived(service: str) -> None:
        end = time.monotonic() + LONG
        by_service = ("service.name",)
        while query.sum_latest("data.rows.read", by=by_service).get((service,)) != 3 * PIPELINES:
            assert time.monotonic() < end, service
            time.sleep(10)  # To look takes seconds of its own.

    with matrix.worker(*options, variables=SLOW) as running:
        matrix.publish(
            f"for n in range(0, {PIPELINES}, {PART}):\n"
            f"    count_runs.apply_async((n, n + {PART}), ignore_result=True)"
        )
        running.wait_for(lambda: matrix.count("ended") == PROCESSES, "the last task")
        arrived("jobs")
    (tmp_path / "web.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(CONF)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "web:app", "-b", f"127.0.0.1:{port}", "-w", "2",
         "--max-requests", "1", "--timeout", "0"],
        cwd=tmp_path,
        env=environment(
            matrix.received.endpoint, OTEL_SERVICE_NAME="web", PYTHONPATH=str(TESTS), **SLOW
        ),
    )  # fmt: skip
    try:
        parts = range(0, PIPELINES, PART)
        web = {get(f"http://127.0.0.1:{port}/{n}-{n + PART}") for n in parts}
        arrived("web")
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
    assert (len({line["pid"] for line in matrix.told()}), len(web)) == (PROCESSES, PROCESSES)
    found = {
        name: Counter(str(one.resource["service.name"]) for one in query.series(name))
        for name in BUDGET
    }
    # The task that counts is one itself: of the type other, of no pipeline.
    own = {"task.executions": 1, "task.execution.duration": 1}
    assert found == {
        name: {"jobs": number + own.get(name, 0), "web": number} for name, number in BUDGET.items()
    }
    runs = query.sum_latest("pipeline.executions", by=("status",))
    assert runs == {("success",): 2 * PIPELINES, ("failed",): 2 * PIPELINES}
