"""A clean slate for tests that instrument this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl_telemetry.instrumentation import table
from etl_telemetry.runtime import propagation
from support.instrumentors import undecided
from support.telemetry import Telemetry, telemetry

__all__ = ["undecided"]


@pytest.fixture(autouse=True)
def _clean(undecided: None) -> Iterator[None]:
    propagation.install(["tracecontext", "baggage"])
    yield
    table.uninstrument()


@pytest.fixture
def seen() -> Telemetry:
    """Give the telemetry of this process, empty."""
    return telemetry()
