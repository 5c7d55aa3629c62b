"""Commands of Celery's broker and result backend make no spans; those of the application do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu.transport.redis import Channel
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from support.telemetry import Telemetry

BOTH = ("celery", "redis")

# Celery's result backend, with redis-py 8.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    makers = (vars(Channel)["_create_client"], vars(RedisBackend)["_create_client"])
    execute = vars(redis.Redis)["execute_command"]
    yield
    table.uninstrument()
    assert (vars(Channel)["_create_client"], vars(RedisBackend)["_create_client"]) == makers
    assert vars(redis.Redis)["execute_command"] is execute


def use(broker: str, seen: Telemetry) -> list[str]:
    """Publish, store a result and ask for something of our own; return the spans of commands."""
    app = Celery("jobs", broker=broker, backend=broker, set_as_current=False)

    @app.task(name="jobs.add", shared=False)
    def add() -> int:
        return 1

    with trace.get_tracer("request").start_as_current_span("GET /"):
        sent = app.tasks["jobs.add"].delay()
        app.backend.store_result(sent.id, 1, "SUCCESS")
        assert sent.state == "SUCCESS"
        with redis.Redis.from_url(broker) as client:
            client.get("key")
    with app.connection_for_read() as connection:  # As a worker polls, outside of any task.
        consumer = app.amqp.TaskConsumer(connection.default_channel, accept=["json"])
        consumer.register_callback(lambda _, message: message.ack())
        with consumer:
            connection.drain_events(timeout=30)
    app.close()
    return [span.name for span in seen.spans() if span.kind is SpanKind.CLIENT]


def test_by_default_only_the_applications_own_commands_are_spans(
    broker: str, seen: Telemetry
) -> None:
    """One GET, though Celery has sent and taken a message, and written and read a result."""
    assert table.instrument(Config(instrumentations=BOTH)) == list(BOTH)
    assert use(broker, seen) == ["GET"]


def test_broker_commands_shows_all(broker: str, seen: Telemetry) -> None:
    """The switch: then each command is a span, as with the instrumentor alone."""
    table.instrument(Config(instrumentations=BOTH, broker_commands=True))
    found = use(broker, seen)
    assert found.count("GET") > 1
    assert {"LPUSH", "PING", "LLEN LLEN LLEN LLEN", "ZADD HSET"} <= set(found)
