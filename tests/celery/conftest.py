"""Celery applications in the test process, with telemetry in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from etl_telemetry.celery.instrumentation import instrument
from etl_telemetry.config import Config
from etl_telemetry.runtime import propagation
from support.broker import broker, broker_server, free_port
from support.telemetry import Telemetry, telemetry

__all__ = ["broker", "broker_server"]


@pytest.fixture
def seen() -> Telemetry:
    """Give the telemetry of this process, empty."""
    return telemetry()


@pytest.fixture
def instrumented() -> Iterator[None]:
    """Instrument Celery as `setup_telemetry()` does."""
    undo = instrument(CeleryInstrumentor(), Config())
    assert undo is not None
    yield
    undo()


@pytest.fixture
def propagators() -> None:
    """Carry trace and baggage in the headers of messages."""
    propagation.install(["tracecontext", "baggage"])


@pytest.fixture
def app() -> Celery:
    """Give an application that needs no broker."""
    return Celery("jobs", broker="memory://", set_as_current=False)


def make_app(broker: str) -> Celery:
    """Make an application with two tasks."""
    app = Celery("jobs", broker=broker, set_as_current=False)
    app.conf.update(
        task_publish_retry=False,
        task_default_queue="jobs",
        broker_transport_options={"max_retries": 0},
    )

    @app.task(name="jobs.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="jobs.boom", shared=False)
    def boom() -> None:
        raise ValueError("boom")

    return app


@pytest.fixture
def jobs(broker: str) -> Celery:
    """Give an application with a broker."""
    return make_app(broker)


@pytest.fixture
def refused() -> Celery:
    """Give an application whose broker refuses every connection."""
    return make_app(f"redis://127.0.0.1:{free_port()}/0")
