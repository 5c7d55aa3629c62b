"""A bridge on a logging that is as it was before each test."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator

import pytest

from etl_telemetry import guard
from etl_telemetry.runtime import log_bridge
from etl_telemetry.runtime.log_bridge import Bridge
from support.bridged import Records


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Give every test an unconfigured root logger, and put back what was there."""
    guard.reset_after_fork()
    root, call_handlers = logging.getLogger(), logging.Logger.callHandlers
    level, handlers = root.level, list(root.handlers)
    known = set(root.manager.loggerDict)
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    yield
    for name in set(root.manager.loggerDict) - known:
        del root.manager.loggerDict[name]
    root.handlers[:] = handlers
    root.setLevel(level)
    assert logging.Logger.callHandlers is call_handlers
    guard.reset_after_fork()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Return what arrives."""
    return Records(monkeypatch)


@pytest.fixture
def bridge(seen: Records) -> Iterator[Bridge]:
    """Attach a bridge for one test."""
    handler = Bridge()
    assert log_bridge.attach(handler)
    yield handler
    log_bridge.detach(handler)
