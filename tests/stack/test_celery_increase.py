"""`increase()` over a worker whose children are replaced, on the real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.broker import broker, broker_server
from support.celery_worker import Received, environment, received, worker
from support.stack import eventually
from support.stack.prometheus import Prometheus

__all__ = ["broker", "broker_server", "received"]

TASKS = 30
PUBLISH = f"""
from support.relay_app import *
for number in range({TASKS}):
    work.apply_async((1,), ignore_result=True)
"""


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """Run a Prometheus of its own: it takes OTLP itself."""
    with Prometheus(tmp_path) as running:
        yield running


def test_increase_over_children_that_are_replaced_is_exact(
    prometheus: Prometheus, broker: str, received: Received, tmp_path: Path
) -> None:
    """Anchored it is the number of tasks, though each ran in a process of its own; one series."""
    truth = tmp_path / "truth"
    variables = {
        "TRUTH": str(truth),
        "CONF": json.dumps({}),
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": (
            f"{prometheus.for_collector()['PROMETHEUS_OTLP_ENDPOINT']}/v1/metrics"
        ),
    }
    options = ("--pool=prefork", "-c2", "--max-tasks-per-child=1")
    ask = prometheus.ask.values
    with worker(broker, received, *options, app="support.relay_app", variables=variables):
        publish = environment(broker, received.endpoint, **variables, OTEL_SDK_DISABLED="true")
        subprocess.run([sys.executable, "-c", PUBLISH], env=publish, check=True)
        eventually("all are counted", lambda: sum(ask("task_executions_total").values()) == TASKS)
        children = {json.loads(line)["pid"] for line in truth.read_text().splitlines()}
        assert len(children) == TASKS
        for metric in ("task_executions_total", "jobs_units_total"):
            assert ask(f"count({metric} > 0)") == {(): 1}
            assert ask(f"sum(increase({metric}[15m] anchored))") == {(): TASKS}
            (plain,) = ask(f"sum(increase({metric}[15m]))").values()
            assert plain == pytest.approx(TASKS, rel=0.3)
