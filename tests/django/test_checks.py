"""System checks: they tell, and never block."""

from __future__ import annotations

import pytest
from django.core import checks as django_checks

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.alerts.checks import check_webhook
from etl_telemetry.django.checks import check_configuration, check_models, connect
from etl_telemetry.django.dashboard.checks import check_dashboard
from etl_telemetry.runtime.lifecycle import Lifecycle


def told(monkeypatch: pytest.MonkeyPatch, telemetry: setup.Telemetry | None) -> list[object]:
    """Run the check as if set-up had found this."""
    monkeypatch.setattr(setup._process, "telemetry", telemetry)
    return list(check_configuration(None))


def test_wrong_values_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error would block `migrate`."""
    telemetry = setup.Telemetry(Config(enabled=False), None, problems=("a", "b"))
    hint = "A process that serves stops at start-up until this is corrected."
    assert told(monkeypatch, telemetry) == [
        django_checks.Warning("a", hint=hint, id="etl_telemetry.W001"),
        django_checks.Warning("b", hint=hint, id="etl_telemetry.W001"),
    ]


def test_ignored_values_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged in a serving process is told by `check`."""
    telemetry = setup.Telemetry(Config(warnings=("JAEGER_AGENT_HOST is not read",)), None)
    assert told(monkeypatch, telemetry) == [
        django_checks.Warning("JAEGER_AGENT_HOST is not read", id="etl_telemetry.W002")
    ]


def test_what_was_logged_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """`runserver` exports, and runs the checks too."""
    config = Config(warnings=("JAEGER_AGENT_HOST is not read",))
    assert told(monkeypatch, setup.Telemetry(config, Lifecycle(config))) == []


def test_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was set up, or nothing is wrong."""
    assert told(monkeypatch, None) == []
    assert told(monkeypatch, setup.Telemetry(Config(), None)) == []


def test_checks_are_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ready()` may run more than once."""
    registry = django_checks.registry.CheckRegistry()
    monkeypatch.setattr(django_checks, "register", registry.register)
    connect()
    connect()
    assert set(registry.get_checks()) == {
        check_configuration, check_webhook, check_models, check_dashboard,
    }  # fmt: skip
