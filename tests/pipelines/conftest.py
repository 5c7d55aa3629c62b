"""Fresh telemetry for every test of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import context as context_api

from etl_telemetry import guard, metrics
from etl_telemetry.pipelines import finish
from support.events import Event, kept
from support.telemetry import Telemetry, telemetry


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Begin with no telemetry, no drops, no finished runs; leave nothing in the context."""
    guard.reset_after_fork()
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    monkeypatch.setattr(finish, "_finished", finish._Finished())
    before = context_api.get_current()
    yield telemetry()
    assert context_api.get_current() == before
    guard.reset_after_fork()


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """Keep the log events of runs, without a place for audit events."""
    with kept("etl_telemetry.pipelines") as found:
        yield found
