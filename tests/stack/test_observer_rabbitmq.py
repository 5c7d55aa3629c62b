"""The observer's figures of a real RabbitMQ in a real Prometheus, and their end."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from support.celery_worker import PATIENCE, environment
from support.rabbitmq import needs_rabbitmq, server
from support.stack import eventually
from support.stack.prometheus import Prometheus

OBSERVER = str(Path(sys.executable).with_name("etl-telemetry"))

pytestmark = [needs_rabbitmq, pytest.mark.timeout(600)]


def test_figures_of_rabbitmq_arrive_and_end_with_it(tmp_path: Path) -> None:
    """Messages that wait and their consumers; no results as soon as the server is gone."""
    with Prometheus(tmp_path) as prometheus, ExitStack() as broker:
        folder = broker.enter_context(tempfile.TemporaryDirectory(prefix="etl-rabbitmq-"))
        rabbitmq = broker.enter_context(server(Path(folder)))
        app = Celery("jobs", broker=rabbitmq.url, set_as_current=False)
        app.conf.task_default_queue = "jobs"
        for _ in range(3):
            app.send_task("support.celery_app.sleep", [0], queue="jobs")
        app.close()
        otlp = f"{prometheus.for_collector()['PROMETHEUS_OTLP_ENDPOINT']}/v1/metrics"
        variables = {
            "CELERY_RESULT_BACKEND": "rpc://",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": otlp,
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        command = (OBSERVER, "observer", "--app", "support.celery_app", "--interval", "0.5")
        lock = ("--lock", str(tmp_path / "lock"))
        observer = subprocess.Popen(
            [*command, *lock, "--without", "workers"],
            env=environment(rabbitmq.url, "", **variables),
            cwd=tmp_path,
        )
        ask = prometheus.ask.values
        labels = ("queue_name", "instance")

        def told() -> tuple[dict[tuple[str, ...], float], ...]:
            return (
                ask("celery_queue_size", *labels), ask("celery_queue_consumers", *labels),
            )  # fmt: skip

        of = ("jobs", "observer")
        try:
            eventually("its figures arrive", lambda: told() == ({of: 3}, {of: 0}))
            broker.close()
            eventually("its figures end", lambda: told() == ({}, {}))
        finally:
            observer.terminate()
            assert observer.wait(PATIENCE) == 0
