"""The bridge is never in the way of the host, nor of who was there first."""

from __future__ import annotations

import logging
import logging.config

import pytest
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from etl_telemetry.runtime import log_bridge
from etl_telemetry.runtime.log_bridge import Bridge
from support.bridged import Records, unconfigured

FILE = __file__


def test_logging_still_looks_unconfigured(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a handler on the root logger, warnings would vanish and basicConfig() do nothing."""
    unconfigured()
    logging.getLogger("app").warning("by the last resort")
    assert capsys.readouterr().err == "by the last resort\n"
    logging.basicConfig(format="%(message)s")
    logging.getLogger("app").warning("by the console")
    assert capsys.readouterr().err == "by the console\n"


def test_the_stock_handler_does_hide_the_console(
    seen: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the test above guards against: this is why the bridge is in no list of handlers."""
    unconfigured()
    stock = LoggingHandler(logger_provider=seen.provider)
    logging.getLogger().addHandler(stock)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("app").warning("nowhere")
    logging.getLogger().removeHandler(stock)
    assert capsys.readouterr().err == ""


def test_the_callers_line_stays_right(seen: Records, bridge: Bridge) -> None:
    """Our frame in the call does not become the place of the log call."""
    logging.getLogger("app").warning("x")
    (one,) = seen.all()
    attributes = one.log_record.attributes or {}
    assert attributes["code.file.path"] == FILE
    assert attributes["code.function.name"] == "test_the_callers_line_stays_right"


def test_attaching_twice_and_detaching_twice_is_harmless(seen: Records) -> None:
    """The same handler, or another one in its place; the last one counts."""
    before = logging.Logger.callHandlers
    first, second = Bridge(), Bridge()
    assert log_bridge.attach(first)
    assert log_bridge.attach(first)
    assert log_bridge.attach(second)
    assert log_bridge.reattach()
    log_bridge.detach(first)
    logging.getLogger("app").warning("x")
    assert seen.bodies() == ["x"]
    log_bridge.detach(second)
    log_bridge.detach(second)
    assert logging.Logger.callHandlers is before
    assert not log_bridge.reattach()
    logging.getLogger("app").warning("y")
    assert seen.bodies() == []


def test_another_patch_on_top_is_respected(seen: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentry wraps the same method: whoever came first, both see each record once."""
    theirs: list[object] = []

    def patch() -> None:
        before = logging.Logger.callHandlers

        def patched(logger: logging.Logger, record: logging.LogRecord) -> None:
            theirs.append(record.msg)
            before(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", patched)

    handler = Bridge()
    patch()
    log_bridge.attach(handler)
    patch()
    logging.getLogger("app").warning("one")
    log_bridge.reattach()
    logging.getLogger("app").warning("two")
    assert seen.bodies() == ["one", "two"]
    assert theirs == ["one", "one", "two", "two"]
    log_bridge.detach(handler)
    logging.getLogger("app").warning("three")
    assert seen.bodies() == []
    monkeypatch.undo()


def test_a_replaced_method_is_wrapped_again(seen: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody puts back what was there before us: `reattach` mends it."""
    before = logging.Logger.callHandlers
    handler = Bridge()
    log_bridge.attach(handler)
    monkeypatch.setattr(logging.Logger, "callHandlers", before)
    logging.getLogger("app").warning("lost")
    assert log_bridge.reattach()
    logging.getLogger("app").warning("found")
    assert seen.bodies() == ["found"]
    log_bridge.detach(handler)
    monkeypatch.undo()
    logging.Logger.callHandlers = before  # type: ignore[method-assign]


def test_another_distribution_is_left_alone(
    seen: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its handler on the root logger exports the records: ours stands aside, and says so once."""
    stock = LoggingHandler(logger_provider=seen.provider)
    logging.getLogger().addHandler(stock)
    handler = Bridge()
    assert not log_bridge.attach(handler)
    assert not log_bridge.reattach()
    (said,) = seen.all()
    assert said.log_record.body == "log_bridge_not_attached"
    assert (said.log_record.attributes or {})["where"] == (
        "opentelemetry.instrumentation.logging.handler.LoggingHandler"
    )
    logging.getLogger("app").warning("once")
    assert seen.bodies() == ["once"]
    logging.getLogger().removeHandler(stock)
    assert log_bridge.reattach()
    logging.getLogger("app").warning("again")
    assert seen.bodies() == ["again"]
    logging.getLogger().addHandler(stock)
    assert not log_bridge.reattach()
    logging.getLogger("app").warning("theirs again")
    assert seen.bodies() == ["theirs again"]
    logging.getLogger().removeHandler(stock)
    log_bridge.detach(handler)
    stock.close()
