"""What waits at real brokers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from etl_telemetry.celery.queues import Queues, names
from etl_telemetry.observer import Reading
from support.broker import broker, broker_server, free_port

__all__ = ["broker", "broker_server"]


def application(url: str, **conf: Any) -> Celery:
    """Make an app that is not the current one."""
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.update(task_default_queue="daily", **conf)
    return app


def told(readings: list[Reading]) -> dict[str, dict[str, float]]:
    """Return readings as metric -> queue -> value."""
    found: dict[str, dict[str, float]] = {}
    for reading in readings:
        queue = str(reading.labels.get("queue.name", ""))
        found.setdefault(reading.metric.name, {})[queue] = reading.value
    return found


def test_an_app_knows_the_queues_that_it_names_anywhere() -> None:
    """Configured, routed to, of a schedule, and those that somebody adds; each once."""
    app = application(
        "memory://",
        task_routes=[{"shop.slow.*": {"queue": "slow"}, "x": {"priority": 3}}, "shop.router"],
        beat_schedule={"nightly": {"task": "x", "options": {"queue": "nightly"}}, "y": {}},
    )
    assert names(app, ("slow", "other")) == ["daily", "slow", "nightly", "other"]


def test_redis_tells_size_age_and_what_workers_hold(broker: str) -> None:
    """Over all priorities; an empty queue is 0."""
    app = application(broker)
    for number in range(3):
        app.send_task("work", queue="daily", priority=number * 3)
    queues = Queues(app, ["slow"])
    found = told(queues.read())
    assert found["celery.queue.size"] == {"daily": 3, "slow": 0}
    assert found["celery.messages.unacked"] == {"": 0}
    assert found["celery.queue.oldest_message.age"].keys() == {"daily"}
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("daily")
        assert message is not None
        found = told(queues.read())
    assert (found["celery.queue.size"]["daily"], found["celery.messages.unacked"]) == (2, {"": 1})


def test_the_age_counts_from_the_first_sight(broker: str) -> None:
    """A publisher without telemetry does not say when; another oldest message begins anew."""
    app = application(broker)
    queues = Queues(app)
    for _ in range(2):
        app.send_task("work")
    ages = []
    for look in range(3):
        if look == 2:
            with app.connection_for_read() as connection:
                connection.default_channel.basic_get("daily", no_ack=True)
        ages.append(told(queues.read())["celery.queue.oldest_message.age"]["daily"])
        time.sleep(0.05)
    assert ages[0] == 0.0
    assert ages[1] >= 0.05
    assert ages[2] == 0.0


@pytest.mark.parametrize(
    ("written", "least"),
    [
        ({"v": 1, "id": "one", "published_ns": 10**18}, 10**8),
        ({"v": 1, "id": "two", "published_ns": 10**18}, 0),
        ({"v": 1, "id": "one", "published_ns": "soon"}, 0),
        ("no JSON", 0),
        (None, 0),
    ],
)
def test_a_publisher_with_telemetry_says_when(broker: str, written: object, least: int) -> None:
    """In a header that belongs to this message; any other one is as if it were not there."""
    app = application(broker)
    text = json.dumps(written) if isinstance(written, dict) else written
    app.send_task("work", task_id="one", headers={"etl_telemetry_message": text})
    age = told(Queues(app).read())["celery.queue.oldest_message.age"]["daily"]
    assert age >= least
    assert least or age == 0


def test_the_prefix_of_an_application_is_kept(broker: str) -> None:
    """Two applications that share a Redis do not see one another's messages."""
    app = application(broker, broker_transport_options={"global_keyprefix": "shop-"})
    app.send_task("work")
    found = told(Queues(app).read())
    assert found["celery.queue.size"] == {"daily": 1}
    assert found["celery.queue.oldest_message.age"] == {"daily": 0}
    assert told(Queues(application(broker)).read()) == {
        "celery.queue.size": {"daily": 0},
        "celery.messages.unacked": {"": 0},
    }


def test_a_message_that_is_not_kombus_counts(broker: str) -> None:
    """Whatever lies in the list waits there."""
    app = application(broker)
    with app.connection_for_read() as connection:
        connection.default_channel.client.lpush("daily", "no message")
    found = told(Queues(app).read())
    assert found["celery.queue.size"] == {"daily": 1}
    assert found["celery.queue.oldest_message.age"] == {"daily": 0}


def test_a_file_system_is_a_broker(tmp_path: Path) -> None:
    """As any virtual transport: it knows sizes."""
    folder = {
        "data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path),
        "control_folder": str(tmp_path),
    }  # fmt: skip
    app = application("filesystem://", broker_transport_options=folder)
    for _ in range(2):
        app.send_task("work")
    assert told(Queues(app, ["slow"]).read()) == {"celery.queue.size": {"daily": 2, "slow": 0}}


def test_the_memory_of_a_process_is_a_broker() -> None:
    """For tests of users."""
    app = application("memory://")
    app.send_task("work")
    assert told(Queues(app).read()) == {"celery.queue.size": {"daily": 1}}


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_down_is_an_error(scheme: str) -> None:
    """At once: the observer says why, and the next reading tries again."""
    app = application(f"{scheme}://user:secret@127.0.0.1:{free_port()}//")
    with pytest.raises(Exception, match="refused"):
        Queues(app).read()
