"""The telemetry of the test process, empty for each test, and a guard against leaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry import context

from etl_telemetry import guard
from etl_telemetry.redaction import NOTHING_ALLOWED
from etl_telemetry.tracing import configure
from etl_telemetry.tracing.settings import as_span_event
from support.telemetry import Telemetry, telemetry


@pytest.fixture(autouse=True)
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[Telemetry]:
    """Return what was recorded; check that nothing stays current and OpenTelemetry logs nothing."""
    guard.reset_after_fork()
    before = context.get_current()
    with caplog.at_level(logging.DEBUG, logger="opentelemetry"):
        yield telemetry()
    configure(policy=NOTHING_ALLOWED, recorder=as_span_event)
    assert context.get_current() is before
    assert [r.getMessage() for r in caplog.records if r.name.startswith("opentelemetry")] == []
    guard.reset_after_fork()
