"""The observer and a real RabbitMQ."""

from __future__ import annotations

import pytest
from celery import Celery

from etl_telemetry.celery.liveness import Liveness
from etl_telemetry.celery.queues import Queues
from etl_telemetry.observer import Reading
from support.celery_worker import Received, received, worker
from support.rabbitmq import needs_rabbitmq, rabbitmq

__all__ = ["rabbitmq", "received"]

pytestmark = [needs_rabbitmq, pytest.mark.timeout(600)]


def told(readings: list[Reading]) -> dict[tuple[str, object], float]:
    """Return readings by metric and label."""
    return {
        (reading.metric.name, next(iter(reading.labels.values()))): reading.value
        for reading in readings
    }


def test_rabbitmq_tells_sizes_and_consumers(rabbitmq: str, received: Received) -> None:
    """Of queues that exist; one that does not is left out, and made by nobody."""
    app = Celery("jobs", broker=rabbitmq, set_as_current=False)
    app.conf.task_default_queue = "jobs"
    queues = Queues(app, ["nothing"])
    assert told(queues.read()) == {}
    for _ in range(3):
        app.send_task("support.celery_app.sleep", [0], queue="jobs")
    assert told(queues.read()) == {
        ("celery.queue.size", "jobs"): 3,
        ("celery.queue.consumers", "jobs"): 0,
    }
    # The test app's backend is its broker's URL, which Celery knows no backend for.
    variables = {"CELERY_RESULT_BACKEND": "rpc://"}
    with worker(rabbitmq, received, "-P", "solo", "-n", "one@here", variables=variables) as running:
        running.wait_for(lambda: running.log.count("sleeping") == 3, "the tasks")
        assert told(queues.read()) == {
            ("celery.queue.size", "jobs"): 0,
            ("celery.queue.consumers", "jobs"): 1,
        }
        liveness = Liveness(app)
        assert told(liveness.read()) == {("celery.worker.up", "one@here"): 1}
    assert told(liveness.read()) == {("celery.worker.up", "one@here"): 0}
    assert told(Queues(app, ["nothing"]).read()) == {
        ("celery.queue.size", "jobs"): 0,
        ("celery.queue.consumers", "jobs"): 0,
    }
