"""The observer and a real RabbitMQ."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import Celery

from etl_telemetry.celery.liveness import Liveness
from etl_telemetry.celery.queues import Queues
from etl_telemetry.celery.rabbitmq import Management
from etl_telemetry.observer import Reading, UnreadableError
from support.broker import free_port
from support.celery_worker import (
    PATIENCE,
    Received,
    environment,
    received,
    run_script,
    worker,
)
from support.rabbitmq import RabbitMQ, needs_rabbitmq, rabbitmq

__all__ = ["rabbitmq", "received"]

SOLO = ("-P", "solo", "-n", "one@here")
OBSERVE = (
    str(Path(sys.executable).with_name("etl-telemetry")), "observer", "--app", "support.celery_app"
)  # fmt: skip
NO_BACKEND = {"CELERY_RESULT_BACKEND": "rpc://"}
"""The test app's backend is its broker's URL, which Celery knows no backend for."""
CONFIRMED = {"confirm_publish": True}
"""Else AMQP tells nobody when a message has arrived."""

pytestmark = [needs_rabbitmq, pytest.mark.timeout(600)]


def told(readings: list[Reading]) -> dict[tuple[str, object], float]:
    """Return readings by metric and label."""
    return {
        (reading.metric.name, next(iter(reading.labels.values()), "")): reading.value
        for reading in readings
    }


def jobs(rabbitmq: RabbitMQ) -> Celery:
    """Return an application whose messages are in their queue when it has sent them."""
    app = Celery("jobs", broker=rabbitmq.url, set_as_current=False)
    app.conf.update(task_default_queue="jobs", broker_transport_options=CONFIRMED)
    return app


def test_rabbitmq_tells_sizes_and_consumers(rabbitmq: RabbitMQ, received: Received) -> None:
    """Of queues that exist; one that does not is left out, and made by nobody."""
    app = jobs(rabbitmq)
    queues = Queues(app, ["nothing"])
    assert told(queues.read()) == {}
    for _ in range(3):
        app.send_task("support.celery_app.sleep", [0], queue="jobs")
    assert told(queues.read()) == {
        ("celery.queue.size", "jobs"): 3,
        ("celery.queue.consumers", "jobs"): 0,
    }
    with worker(rabbitmq.url, received, *SOLO, variables=NO_BACKEND) as running:
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


def test_the_management_api_tells_what_workers_hold_and_how_old_messages_are(
    rabbitmq: RabbitMQ, received: Received
) -> None:
    """By the observer's own command: the age by the publisher's time, and none without it."""
    app = jobs(rabbitmq)
    management = Management(app, rabbitmq.api, ["silent"])
    app.send_task("support.celery_app.sleep", [0], queue="silent")
    script = "from support.celery_app import sleep\nfor n in range(3): sleep.delay(600)"
    before = time.time()
    run_script(script, rabbitmq.url, received, **NO_BACKEND)
    unacked, age = ("celery.messages.unacked", ""), ("celery.queue.oldest_message.age", "jobs")

    def told_when(held: int) -> dict[tuple[str, object], float]:
        """Wait for RabbitMQ's statistics, which are older than its queues."""
        end = time.monotonic() + PATIENCE
        while (found := told(management.read())).get(unacked) != held or age not in found:
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found

    found = told_when(0)
    assert found.keys() == {unacked, age}
    assert 0 <= found[age] <= time.time() - before + 1  # The property is in whole seconds.
    lead = ("--lock", str(received.folder / "lead"))  # Others observe at the same time.
    command = (*OBSERVE, "--once", "--without", "workers", *lead)
    options = {**NO_BACKEND, "ETL_TELEMETRY_RABBITMQ_API": rabbitmq.api}
    with worker(rabbitmq.url, received, *SOLO, variables=NO_BACKEND) as running:
        running.wait_for(lambda: "sleeping" in running.log, "the first task")
        told_when(2)  # One that runs, whose acknowledgement is not sent yet, one prefetched.
        subprocess.run(
            command, env=environment(rabbitmq.url, received.endpoint, **options), check=True
        )
        running.process.kill()
    (series,) = received.query.series("celery.messages.unacked")
    assert series.points[-1].value == 2
    (series,) = received.query.series("celery.queue.oldest_message.age")
    assert (series.attributes, series.resource["service.instance.id"]) == (
        {"queue.name": "jobs"}, "observer",
    )  # fmt: skip


def test_the_management_api_that_refuses_or_is_away_is_an_error(rabbitmq: RabbitMQ) -> None:
    """The observer tells the reason, which holds no password, and ends the series."""
    app = Celery("jobs", broker=rabbitmq.url, set_as_current=False)
    wrong = rabbitmq.api.replace("//", "//ann:hunter2@")
    with pytest.raises(UnreadableError) as refused:
        Management(app, wrong).read()
    assert str(refused.value) == "RabbitMQ's management API answered 401"
    with pytest.raises(OSError, match="refused"):
        Management(app, f"http://127.0.0.1:{free_port()}").read()
