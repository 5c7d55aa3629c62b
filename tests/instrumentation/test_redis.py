"""redis: spans under another span only."""

from __future__ import annotations

import redis
from opentelemetry import trace
from opentelemetry.instrumentation.redis import RedisInstrumentor

from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from support.broker import broker, broker_server
from support.telemetry import Telemetry

__all__ = ["broker", "broker_server"]


def use(broker: str) -> None:
    """Send a command and a pipeline."""
    with redis.Redis.from_url(broker) as client:
        client.set("key", "secret")
        with client.pipeline() as pipeline:
            pipeline.get("key")
            pipeline.get("other")
            pipeline.execute()


def test_the_instrumentor_alone_makes_a_trace_of_every_command(
    broker: str, seen: Telemetry
) -> None:
    """The trap itself: a worker that polls its broker writes traces for ever."""
    RedisInstrumentor().instrument()
    try:
        use(broker)
    finally:
        RedisInstrumentor().uninstrument()
    assert [(s.name, s.parent) for s in seen.spans()] == [("SET", None), ("GET GET", None)]


def test_outside_of_any_work_there_are_no_spans(broker: str, seen: Telemetry) -> None:
    """Polling makes nothing."""
    assert table.instrument(Config(instrumentations=("redis",))) == ["redis"]
    use(broker)
    assert seen.spans() == ()


def test_inside_of_work_there_are_spans_without_values(broker: str, seen: Telemetry) -> None:
    """In a request, a task or a run each command is a span; its arguments stay here."""
    table.instrument(Config(instrumentations=("redis",)))
    with trace.get_tracer("request").start_as_current_span("GET /"):
        use(broker)
    assert [(s.name, bool(s.parent)) for s in seen.spans()] == [
        ("SET", True),
        ("GET GET", True),
        ("GET /", False),
    ]
    attributes = dict(seen.span("SET").attributes or {})
    assert (attributes["db.system.name"], attributes["db.query.text"]) == ("redis", "SET ? ?")
